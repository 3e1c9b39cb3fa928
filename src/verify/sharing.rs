//! Who may use another namespace's object, and for what: the owner's decision. Knows labels and addresses, and reads
//! nothing itself.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::{
    api::{
        Reason,
        v1alpha1::{AllowedNamespaces, NamespacesFrom, Usage},
    },
    mail::Diagnosis,
};

/// Whether an object of namespace `own` may be referred to from namespace `their`, whose labels are `labels`.
#[must_use]
pub fn admits(allowed: Option<&AllowedNamespaces>, own: &str, their: &str, labels: &BTreeMap<String, String>) -> bool {
    if own == their {
        return true;
    }
    let Some(allowed) = allowed else { return false };
    match allowed.from {
        NamespacesFrom::Same => false,
        NamespacesFrom::All => true,
        NamespacesFrom::Selector => allowed.selector.as_ref().is_some_and(|selector| selects(selector, labels)),
    }
}

/// Whether a selector matches labels: all of matchLabels and of matchExpressions, and an empty one everything, as
/// Kubernetes has it. An operator that is not known matches nothing.
#[must_use]
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let meets = |LabelSelectorRequirement { key, operator, values }: &LabelSelectorRequirement| {
        let values = values.as_deref().unwrap_or_default();
        let value = labels.get(key);
        match operator.as_str() {
            "In" => value.is_some_and(|value| values.contains(value)),
            "NotIn" => value.is_none_or(|value| !values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    };
    selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().flatten().all(meets)
}

/// Whether another namespace may send a mail from `from` to `to` through a server whose sender is `sender`: by default
/// to the sender's own domain and in the sender's own name.
#[must_use]
pub fn usage_permits(usage: Option<&Usage>, sender: &str, from: &str, to: &str) -> bool {
    let senders = usage.and_then(|usage| usage.senders.as_deref());
    let domains = usage.and_then(|usage| usage.recipient_domains.as_deref());
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    let from_is_fine = senders.map_or_else(|| same(from, sender), |list| list.iter().any(|one| same(one, from)));
    let to_is_fine = domain(to).is_some_and(|to| match domains {
        Some(list) => list.iter().any(|one| same(one, to)),
        None => domain(sender).is_some_and(|own| same(own, to)),
    });
    from_is_fine && to_is_fine
}

/// The refusal of a reference into another namespace: the same whether the object exists or not.
#[must_use]
pub fn denied(kind: &str, namespace: &str, name: &str, me: &str) -> Diagnosis {
    Diagnosis::new(Reason::RefNotPermitted).fact("kind", kind).fact("name", format!("{namespace}/{name}")).fact("me", me)
}

fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain).filter(|domain| !domain.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(written: &[(&str, &str)]) -> BTreeMap<String, String> {
        written.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> LabelSelectorRequirement {
        let values = Some(values.iter().map(|value| (*value).to_owned()).collect());
        LabelSelectorRequirement { key: key.to_owned(), operator: operator.to_owned(), values }
    }

    fn selector(expressions: Vec<LabelSelectorRequirement>) -> AllowedNamespaces {
        let selector = LabelSelector { match_labels: None, match_expressions: Some(expressions) };
        AllowedNamespaces { from: NamespacesFrom::Selector, selector: Some(selector) }
    }

    #[test]
    fn without_a_word_of_the_owner_only_its_own_namespace_is_admitted() {
        let same = AllowedNamespaces::default();
        let all = AllowedNamespaces { from: NamespacesFrom::All, selector: None };
        let no_selector = AllowedNamespaces { from: NamespacesFrom::Selector, selector: None };
        for (allowed, their, admitted) in [
            (None, "mail", true),
            (None, "team", false),
            (Some(&same), "mail", true),
            (Some(&same), "team", false),
            (Some(&all), "team", true),
            (Some(&no_selector), "team", false),
            (Some(&no_selector), "mail", true),
        ] {
            assert_eq!(admits(allowed, "mail", their, &labels(&[])), admitted, "{allowed:?} {their}");
        }
    }

    #[test]
    fn each_operator_of_a_selector_means_what_kubernetes_means() {
        let prod = labels(&[("env", "prod")]);
        let none = labels(&[]);
        for (operator, values, with, without) in [
            ("In", vec!["prod", "test"], true, false),
            ("In", vec!["test"], false, false),
            ("NotIn", vec!["prod"], false, true),
            ("NotIn", vec!["test"], true, true),
            ("Exists", vec![], true, false),
            ("DoesNotExist", vec![], false, true),
            ("Like", vec!["prod"], false, false),
        ] {
            let allowed = selector(vec![expression("env", operator, &values)]);
            assert_eq!(admits(Some(&allowed), "mail", "team", &prod), with, "{operator} {values:?}");
            assert_eq!(admits(Some(&allowed), "mail", "team", &none), without, "{operator} {values:?} without the label");
        }
    }

    #[test]
    fn all_parts_of_a_selector_have_to_match() {
        let mut allowed = selector(vec![expression("env", "In", &["prod"]), expression("barred", "DoesNotExist", &[])]);
        allowed.selector.as_mut().unwrap().match_labels = Some(labels(&[("mail", "yes")]));
        let team = |written: &[(&str, &str)]| admits(Some(&allowed), "mail", "team", &labels(written));
        assert!(team(&[("env", "prod"), ("mail", "yes")]));
        assert!(!team(&[("env", "prod")]));
        assert!(!team(&[("env", "prod"), ("mail", "yes"), ("barred", "")]));
    }

    #[test]
    fn an_empty_selector_matches_every_namespace() {
        assert!(admits(Some(&selector(vec![])), "mail", "team", &labels(&[])));
    }

    #[test]
    fn a_borrower_mails_the_senders_domain_in_the_senders_name_if_nothing_else_is_said() {
        let open = Usage {
            recipient_domains: Some(vec!["Partner.example".to_owned()]),
            senders: Some(vec!["team@corp.example".to_owned()]),
            ..Usage::default()
        };
        for (usage, from, to, permitted) in [
            (None, "mailer@corp.example", "ops@corp.example", true),
            (None, "Mailer@Corp.example", "ops@CORP.example", true),
            (None, "mailer@corp.example", "ops@other.example", false),
            (None, "boss@corp.example", "ops@corp.example", false),
            (None, "mailer@corp.example", "ops@sub.corp.example", false),
            (None, "mailer@corp.example", "ops", false),
            (Some(&open), "team@corp.example", "ops@partner.example", true),
            (Some(&open), "team@corp.example", "ops@corp.example", false),
            (Some(&open), "mailer@corp.example", "ops@partner.example", false),
        ] {
            assert_eq!(usage_permits(usage, "mailer@corp.example", from, to), permitted, "{usage:?} {from} {to}");
        }
    }

    #[test]
    fn a_refusal_is_the_same_whether_the_object_exists_or_not() {
        let refusal = denied("MailServer", "mail", "relay", "team");
        assert_eq!(refusal.reason, Reason::RefNotPermitted);
        assert_eq!(
            refusal.hint(),
            "MailServer mail/relay is not shared with namespace team; its owner must widen allowedNamespaces."
        );
    }
}
