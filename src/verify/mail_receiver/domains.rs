//! Who has a domain: the oldest `MailReceiver` of the cluster that names it, whatever its state. The operator and the
//! receivers ask the same. Pure.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::mail::domain::canonical;

/// What decides who was first: when an object was made, then its namespace and name.
pub type Age = (Timestamp, String, String);

/// The owner of each domain that is named, by the domain's canonical form.
#[must_use]
pub fn owners<'a, D: AsRef<str> + 'a>(receivers: impl IntoIterator<Item = (Age, &'a [D])>) -> HashMap<String, Age> {
    let mut owners: HashMap<String, Age> = HashMap::new();
    for (age, domains) in receivers {
        for domain in domains {
            owners
                .entry(canonical(domain.as_ref()).into_owned())
                .and_modify(|first| {
                    if age < *first {
                        first.clone_from(&age);
                    }
                })
                .or_insert_with(|| age.clone());
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(second: i64, name: &str) -> Age {
        (Timestamp::from_second(second).unwrap(), "mail".to_owned(), name.to_owned())
    }

    #[test]
    fn the_oldest_has_a_domain_and_of_one_age_the_first_by_name() {
        let (old, new) = (vec!["B\u{fc}cher.example"], vec!["xn--bcher-kva.EXAMPLE", "other.example"]);
        let owners = owners([(age(9, "new"), &new[..]), (age(5, "old"), &old[..]), (age(9, "also-new"), &new[..])]);
        assert_eq!(owners["xn--bcher-kva.example"], age(5, "old"));
        assert_eq!(owners["other.example"], age(9, "also-new"));
    }
}
