//! "Did you mean": the known name nearest to one that is not known.

use serde_json::Value;

/// The known name that was most likely meant, if any is near.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // Names in manifests are short; a very long one is no slip, and the work would grow with its square.
    if written.len() > 64 {
        return None;
    }
    let meant = plain(written);
    known
        .map(|name| (distance(&meant, &plain(name)), name))
        // A third of the letters wrong is a slip; more is another word.
        .filter(|(distance, name)| *distance <= (name.len().max(written.len()) / 3).max(1) && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The path below `schema` of a field that is called exactly so, the shortest first.
pub fn elsewhere(written: &str, path: &str, schema: &Value) -> Option<String> {
    let properties = schema["properties"].as_object()?;
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if properties.contains_key(written) {
        return Some(below(written));
    }
    properties
        .iter()
        .filter_map(|(name, inner)| elsewhere(written, &below(name), inner))
        .min_by_key(|path| path.matches('.').count())
}

/// The number of letters to add, drop, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j - 1] + same).min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_another_word_finds_none() {
        let known = ["displayName", "host", "secretRef", "heloName"];
        for (written, meant) in
            [("hots", Some("host")), ("display_name", Some("displayName")), ("secretref", Some("secretRef")), ("password", None)]
        {
            assert_eq!(nearest(written, known.into_iter()), meant, "{written}");
        }
    }
}
