//! One thing to say about a manifest, and where.

use std::fmt;

use serde::Serialize;

use super::Place;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The API server would refuse the object, or the file cannot be read.
    Error,
    /// It would be taken, and is hardly what is wanted.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// The word in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing to say about a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// The file, as it was named on the command line; `-` for standard input.
    pub file: String,
    /// The line, from 1; 0 where none is known.
    pub line: u64,
    /// The column, from 1; 0 where none is known.
    pub column: u64,
    /// The path of the field, such as `spec.tls.caRef`; empty for the whole object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What is the matter, and what to do.
    pub message: String,
}

impl Finding {
    /// A finding at a place.
    #[must_use]
    pub fn new(severity: Severity, place: &Place, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            field: field.into(),
            message: message.into(),
        }
    }

    /// Whether the API server would refuse the object.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}: ", self.severity.as_str())?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}
