// Tells the story in the terminal: what is sent, what comes back, and whether it is what should come back.

import { execFile } from 'node:child_process';

const hasColour = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (hasColour ? `\x1b[${code}m${text}\x1b[0m` : text);
const bold = paint(1);
const dim = paint(2);
const green = paint(32);
const red = paint(31);

let chapters = 0;
export const verdicts = [];

export function chapter(title) {
  chapters += 1;
  console.log(`\n${bold(`${chapters}. ${title}`)}`);
}

export function say(text) {
  console.log(text.replace(/^/gm, '   '));
}

/** Checks a sentence of the story. */
export function check(sentence, isTrue) {
  verdicts.push({ sentence, isTrue });
  say(isTrue ? green(`✓ ${sentence}`) : red(`✗ ${sentence}`));
}

/** Runs curl as a user would type it and prints both sides; resolves to { status, body, exitCode }.
 *  Each argument holds the parameters of one printed line. */
export function curl(...lines) {
  const parameters = lines.flat();
  say(`${dim('$')} curl ${lines.map((line) => line.map(asTyped).join(' ')).join(' \\\n       ')}`);
  // Kept out of sight: no ~/.curlrc, no proxy, an end, and the status after the body.
  const hidden = ['-q', '-sS', '--noproxy', '*', '--max-time', '20', '-w', '\n%{http_code}'];
  return new Promise((resolve) => {
    execFile('curl', [...hidden, ...parameters], (error, stdout, stderr) => {
      const [, text, status] = /^([\s\S]*)\n(\d+)$/.exec(stdout) ?? [null, '', '0'];
      say(error ? dim(stderr.trim() || error.message) : `${dim(status)} ${shortened(text.trim())}`);
      resolve({ status: Number(status), body: json(text), exitCode: error?.code ?? 0 });
    });
  });
}

/** Long base64 tells a reader nothing. */
export function shortened(text) {
  return text.replace(/[\w+/=-]{80,}/g, (base64) => `${base64.slice(0, 24)}…${base64.slice(-12)}`);
}

function asTyped(parameter) {
  return /^[\w@%+=:,./-]+$/.test(parameter) ? parameter : `'${shortened(parameter)}'`;
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
