//! What the Secrets and `ConfigMap`s among the manifests hold.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Document, walk::Fault};

/// Whether a document is a Secret.
#[must_use]
pub fn is_secret(document: &Document) -> bool {
    document.kind() == "Secret" && document.text(&["apiVersion"]) == "v1"
}

/// Whether a document is a `ConfigMap`.
#[must_use]
pub fn is_config_map(document: &Document) -> bool {
    document.kind() == "ConfigMap" && document.text(&["apiVersion"]) == "v1"
}

/// The content of a Secret (`data`, then `stringData` over it) or a `ConfigMap` (`data`, `binaryData`), decoded.
///
/// # Errors
/// The path of a value that is no text or no base64, and what is wrong with it. No part of the value is in the words.
pub fn content(document: &Document) -> Result<BTreeMap<String, Vec<u8>>, Fault> {
    let parts: [(&str, bool); 2] =
        if is_secret(document) { [("data", true), ("stringData", false)] } else { [("data", false), ("binaryData", true)] };
    let mut content = BTreeMap::new();
    for (part, encoded) in parts {
        for (key, value) in document.value[part].as_object().into_iter().flatten() {
            let fault = |words: &str| (format!("{part}.{key}"), words.to_owned());
            let text = match value {
                Value::String(text) => text.as_str(),
                Value::Null => "",
                _ => return Err(fault("has to be a text: put it in quotes")),
            };
            let bytes = if encoded {
                // Line breaks inside are taken, as the API server takes them.
                let joined: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
                STANDARD.decode(joined).map_err(|_| fault("is no base64; plain text goes into stringData"))?
            } else {
                text.as_bytes().to_vec()
            };
            content.insert(key.clone(), bytes);
        }
    }
    Ok(content)
}

/// The annotations of an object that are texts.
#[must_use]
pub fn annotations(document: &Document) -> BTreeMap<String, String> {
    let annotations = document.value["metadata"]["annotations"].as_object().into_iter().flatten();
    annotations.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::read::read;

    #[test]
    fn plain_text_stands_over_base64_and_faults_do_not_show_the_value() {
        let text = "apiVersion: v1\nkind: Secret\ndata: {a: aGk=, b: aGk=}\nstringData: {b: ho}\n---\napiVersion: v1\nkind: Secret\ndata: {a: hunter2!}\n";
        let (documents, _) = read("f", text);
        let held = content(&documents[0]).unwrap();
        assert_eq!((held["a"].as_slice(), held["b"].as_slice()), (b"hi".as_slice(), b"ho".as_slice()));
        let (field, words) = content(&documents[1]).unwrap_err();
        assert_eq!(field, "data.a");
        assert!(!words.contains("hunter2"));
    }
}
