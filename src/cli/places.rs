//! Where in a file the keys are that findings name by their paths.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::{message::join, yaml};

/// A place in a file, both counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    fn of(span: &Span) -> Self {
        Self { line: span.start.line(), column: span.start.col().saturating_add(1) }
    }
}

/// The places of keys and elements in a text of so many documents: of those that the wanted paths name, and of those on
/// the way there.
pub(super) struct Places(HashMap<String, Place>);

impl Places {
    /// Finds the keys in a text that was read before, `at` being the path of its only document.
    pub(super) fn find(text: &str, documents: usize, at: &str, wanted: &[&str]) -> Self {
        let mut search = Search {
            text,
            root: (documents == 1).then(|| at.to_owned()),
            document: 0,
            wanted,
            open: Vec::new(),
            places: HashMap::new(),
        };
        for next in Parser::new_from_str(text) {
            let Ok((event, span)) = next else { break };
            search.take(event, &span);
        }
        Self(search.places)
    }

    /// The place of a key or, if it is not there, of the nearest that it belongs into.
    pub(super) fn of(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(*place);
            }
            path = match path.rfind(['.', '[']) {
                Some(end) => path.get(..end)?,
                None if path.is_empty() => return None,
                None => "",
            };
        }
    }
}

struct Search<'a> {
    text: &'a str,
    root: Option<String>,
    document: usize,
    wanted: &'a [&'a str],
    open: Vec<Open>,
    places: HashMap<String, Place>,
}

/// A collection that has not ended. Of one that nothing wanted is in, the path is not known.
struct Open {
    path: Option<String>,
    next: Next,
}

enum Next {
    Key,
    Value(Option<String>),
    Element(usize),
}

impl Search<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) {
        match event {
            // An empty document, which is left out.
            Event::Scalar(text, ScalarStyle::Plain, ..)
                if self.open.is_empty() && yaml::plain(&text).is_null() => {}
            Event::Scalar(text, style, ..) => {
                if let Some(Open { path, next: next @ Next::Key }) = self.open.last_mut() {
                    let path = path.as_deref().map(|path| join(path, &text));
                    let path = path.filter(|path| is_on_the_way(self.wanted, path));
                    self.places.extend(path.iter().map(|path| (path.clone(), Place::of(span))));
                    *next = Next::Value(path);
                } else if let Some(path) = self.begin(span)
                    && style == ScalarStyle::Literal
                {
                    self.look_into(&text, &path, span);
                }
            }
            Event::Alias(_) => {
                self.begin(span);
            }
            Event::MappingStart(..) => {
                let path = self.begin(span);
                self.open.push(Open { path, next: Next::Key });
            }
            Event::SequenceStart(..) => {
                let path = self.begin(span);
                self.open.push(Open { path, next: Next::Element(0) });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop();
            }
            _ => {}
        }
    }

    /// The path of a node that begins and that something wanted is in, or is.
    fn begin(&mut self, span: &Span) -> Option<String> {
        let Some(Open { path, next }) = self.open.last_mut() else {
            let path = self.root.clone().unwrap_or_else(|| format!("[{}]", self.document));
            self.document = self.document.saturating_add(1);
            self.places.insert(path.clone(), Place::of(span));
            return Some(path);
        };
        match next {
            Next::Element(index) => {
                let element = path.as_deref().map(|path| format!("{path}[{index}]"));
                *index = index.saturating_add(1);
                let element = element.filter(|element| is_on_the_way(self.wanted, element))?;
                self.places.insert(element.clone(), Place::of(span));
                Some(element)
            }
            Next::Key => None,
            Next::Value(path) => {
                let path = path.take();
                *next = Next::Key;
                path
            }
        }
    }

    /// Looks for what is wanted in a document that is written as a block of text in this one.
    fn look_into(&mut self, block: &str, path: &str, span: &Span) {
        let within: Vec<&str> = self
            .wanted
            .iter()
            .copied()
            .filter(|wanted| *wanted != path && is_on_the_way(&[wanted], path))
            .collect();
        if within.is_empty() {
            return;
        }
        // Where the span of a block begins is the scanner's own affair: its first line tells.
        let Some((above, first)) =
            block.lines().enumerate().find(|(_, line)| !line.trim().is_empty())
        else {
            return;
        };
        let from = span.start.line().saturating_sub(1);
        let mut lines = self.text.lines().enumerate().skip(from);
        let written = lines.find_map(|(index, line)| {
            let spaces = line.strip_suffix(first)?;
            spaces.chars().all(|space| space == ' ').then_some((index, spaces.len()))
        });
        let Some((line_of_first, indentation)) = written else { return };
        let lines_before = line_of_first.saturating_sub(above);
        for (path, Place { line, column }) in Places::find(block, 1, path, &within).0 {
            self.places.entry(path).or_insert(Place {
                line: line.saturating_add(lines_before),
                column: column.saturating_add(indentation),
            });
        }
    }
}

/// Whether a path is one of the wanted, or the beginning of one.
fn is_on_the_way(wanted: &[&str], path: &str) -> bool {
    wanted.iter().any(|wanted| {
        let rest = wanted.strip_prefix(path);
        rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, documents: usize, path: &str) -> Option<(usize, usize)> {
        let places = Places::find(text, documents, "", &[path]);
        places.of(path).map(|place| (place.line, place.column))
    }

    #[test]
    fn keys_are_where_they_are_written() {
        let text = "a:\n  - b: 1\n    c.d: { e: [x, {f: 1}] }\n  - *x\n";
        let text = format!("z: &x 5\n{text}");
        for (path, at) in [
            ("z", (1, 1)),
            ("a", (2, 1)),
            ("a[0]", (3, 5)),
            ("a[0].b", (3, 5)),
            ("a[0].c.d", (4, 5)),
            ("a[0].c.d.e[1].f", (4, 20)),
            ("a[1]", (5, 5)),
        ] {
            assert_eq!(place(&text, 1, path), Some(at), "{path}");
        }
        assert_eq!(place("{\n\t\"a\": {\n\t\t\"b\": 1}}", 1, "a.b"), Some((3, 3)));
    }

    #[test]
    fn what_is_missing_is_where_it_belongs() {
        let text = "a:\n  - b: 1\n  - c: 2\n";
        assert_eq!(place(text, 1, "a[1].missing[0].too"), Some((3, 5)));
        assert_eq!(place(text, 1, "b"), Some((1, 1)));
        // No key is taken for another one that begins alike.
        assert_eq!(place("ab: 1\na: 1\n", 1, "a"), Some((2, 1)));
    }

    #[test]
    fn documents_are_counted() {
        assert_eq!(place("a: 1\n---\n# none\n---\na: 2\n", 2, "[1].a"), Some((5, 1)));
    }

    #[test]
    fn blocks_of_text_are_looked_into() {
        let text = "data:\n  envoy.yaml: |\n    # first\n    a:\n      b: 1\n  c: 1\n";
        assert_eq!(place(text, 1, "data.envoy.yaml.a.b"), Some((5, 7)));
        assert_eq!(place(text, 1, "data.envoy.yaml.a.missing"), Some((4, 5)));
        let folded = text.replace('|', ">");
        assert_eq!(place(&folded, 1, "data.envoy.yaml.a.b"), Some((2, 3)));
    }
}
