// Plots as SVG, readable on light and on dark ground.

const WIDTH = 760;
const COLOURS = ['#6b7280', '#d97706', '#2563eb', '#059669', '#9333ea'];

const style = `<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.small { font-size: 11px }
.axis { stroke: #9ca3af; stroke-width: 1; stroke-opacity: 0.5 }
.spread { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .spread { stroke: #e6edf3 } }
</style>`;

const escape = (text) => String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const at = (value) => Number(value.toFixed(1));

const text = (x, y, content, attributes = '') => `<text x="${at(x)}" y="${at(y)}" ${attributes}>${escape(content)}</text>`;
const line = (x1, y1, x2, y2, kind) => `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" class="${kind}"/>`;

const svg = (height, title, parts) => [
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}">`,
  style, text(0, 16, title, 'class="title"'), ...parts, '</svg>', '',
].join('\n');

/** The least of 1, 2, 5, 10, 20 … steps of which five or fewer reach the value. */
function step(value) {
  const power = 10 ** Math.floor(Math.log10(value / 5 || 1));
  return [1, 2, 5, 10].map((factor) => factor * power).find((size) => size * 5 >= value);
}

function ticks(value) {
  const size = step(value);
  return Array.from({ length: Math.ceil(value / size) + 1 }, (_, index) => Number((index * size).toPrecision(6)));
}

/**
 * Horizontal bars: rows of { label, parts: [{ value, low, high }] }, whose parts are named by `names` and stand end to
 * end.
 */
export function bars(title, rows, names = []) {
  const [left, right, top, each] = [300, 60, 48, 26];
  const total = ({ parts }) => parts.reduce((sum, { value }) => sum + Math.max(value, 0), 0);
  const axis = ticks(Math.max(...rows.map(total), ...rows.map(({ parts }) => parts[0].high)));
  const scale = (value) => left + (WIDTH - left - right) * value / axis.at(-1);
  const bottom = top + rows.length * each;
  return svg(bottom + 24, title, [
    ...names.map((name, index) => `<rect x="${left + index * 200}" y="26" width="11" height="11" fill="${COLOURS[index + 2]}"/>${text(left + 16 + index * 200, 36, name, 'class="small"')}`),
    ...axis.flatMap((value) => [line(scale(value), top, scale(value), bottom, 'axis'), text(scale(value), bottom + 16, value, 'text-anchor="middle" class="small"')]),
    ...rows.flatMap((row, index) => {
      const y = top + index * each;
      let from = 0;
      const boxes = row.parts.map(({ value }, part) => {
        const [x, width] = [scale(from), scale(Math.max(value, 0)) - scale(0)];
        from += Math.max(value, 0);
        return `<rect x="${at(x)}" y="${y + 5}" width="${at(width)}" height="16" fill="${COLOURS[part + 2]}"/>`;
      });
      const [{ low, high }] = row.parts;
      return [
        text(left - 8, y + 18, row.label, 'text-anchor="end"'), ...boxes, line(scale(Math.max(low, 0)), y + 13, scale(Math.max(high, 0)), y + 13, 'spread'),
        text(Math.max(scale(from), scale(high)) + 5, y + 18, total(row).toFixed(total(row) < 10 ? 1 : 0), 'class="small"'),
      ];
    }),
  ]);
}

/**
 * Lines over places that are equally far apart: series of { name, points: [{ value, low, high }] }, a point for each
 * place.
 */
export function lines(title, places, below, series) {
  const [left, right, top, height] = [56, 210, 36, 220];
  const axis = ticks(Math.max(...series.flatMap(({ points }) => points.map(({ high }) => high))));
  const bottom = top + height;
  const x = (index) => left + 20 + (WIDTH - left - right - 40) * index / Math.max(places.length - 1, 1);
  const y = (value) => bottom - height * Math.max(value, 0) / axis.at(-1);
  return svg(bottom + 44, title, [
    ...axis.flatMap((value) => [line(left, y(value), WIDTH - right, y(value), 'axis'), text(left - 6, y(value) + 4, value, 'text-anchor="end" class="small"')]),
    ...places.map((place, index) => text(x(index), bottom + 16, place, 'text-anchor="middle" class="small"')),
    text((left + WIDTH - right) / 2, bottom + 36, below, 'text-anchor="middle" class="small"'),
    ...series.flatMap(({ name, points }, number) => {
      const colour = COLOURS[(number + 1) % COLOURS.length];
      return [
        `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map(({ value }, index) => `${at(x(index))},${at(y(value))}`).join(' ')}"/>`,
        ...points.map(({ value }, index) => `<circle cx="${at(x(index))}" cy="${at(y(value))}" r="3" fill="${colour}"/>`),
        ...points.map(({ low, high }, index) => line(x(index), y(low), x(index), y(high), 'spread')),
        `<rect x="${WIDTH - right + 10}" y="${top + number * 22}" width="11" height="11" fill="${colour}"/>${text(WIDTH - right + 26, top + 10 + number * 22, name, 'class="small"')}`,
      ];
    }),
  ]);
}
