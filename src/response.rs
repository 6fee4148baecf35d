//! Answers that the filter gives itself.

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: String,
}
