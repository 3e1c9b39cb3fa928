//! Which objects name which others, found from either side.

use std::collections::BTreeSet;

/// What each `A` names. Kept as pairs: most objects name one or two others, and a set for each would be mostly room.
#[derive(Debug)]
pub struct Links<A, B> {
    named: Pairs<A, B>,
    naming: Pairs<B, A>,
}

/// None is the least, and is in no pair: it is where those of one begin.
type Pairs<X, Y> = BTreeSet<(X, Option<Y>)>;

impl<A, B> Default for Links<A, B> {
    fn default() -> Self {
        Self { named: Pairs::new(), naming: Pairs::new() }
    }
}

impl<A: Ord + Clone, B: Ord + Clone> Links<A, B> {
    /// `a` names these, and nothing else any more. Returns those that it names since now, or no more.
    pub fn set(&mut self, a: &A, others: impl IntoIterator<Item = B>) -> Vec<B> {
        let others: BTreeSet<B> = others.into_iter().collect();
        let known: BTreeSet<B> = self.named_by(a).cloned().collect();
        let news: Vec<B> = known.symmetric_difference(&others).cloned().collect();
        for b in &news {
            let (there, back) = ((a.clone(), Some(b.clone())), (b.clone(), Some(a.clone())));
            if others.contains(b) {
                self.named.insert(there);
                self.naming.insert(back);
            } else {
                self.named.remove(&there);
                self.naming.remove(&back);
            }
        }
        news
    }

    /// What `a` names.
    pub fn named_by<'a>(&'a self, a: &'a A) -> impl Iterator<Item = &'a B> {
        of(&self.named, a)
    }

    /// Those that name `b`.
    pub fn naming<'a>(&'a self, b: &'a B) -> impl Iterator<Item = &'a A> {
        of(&self.naming, b)
    }
}

fn of<'a, X: Ord + Clone, Y: Ord>(pairs: &'a Pairs<X, Y>, x: &'a X) -> impl Iterator<Item = &'a Y> {
    pairs.range((x.clone(), None)..).take_while(move |(one, _)| one == x).filter_map(|(_, other)| other.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(links: &Links<&'static str, u8>, b: u8) -> Vec<&'static str> {
        links.naming(&b).copied().collect()
    }

    #[test]
    fn each_is_found_from_either_side_and_nobody_else() {
        let mut links = Links::default();
        assert_eq!(links.set(&"a", [1]), [1]);
        assert_eq!(links.set(&"b", [1, 2]), [1, 2]);
        assert_eq!((named(&links, 1), named(&links, 2), named(&links, 3)), (vec!["a", "b"], vec!["b"], vec![]));
        assert_eq!(links.named_by(&"b").collect::<Vec<_>>(), [&1, &2]);
    }

    #[test]
    fn what_is_named_no_longer_is_forgotten() {
        let mut links = Links::default();
        links.set(&"a", [1, 2]);
        assert_eq!(links.set(&"a", [2, 3]), [1, 3], "news in both directions");
        assert!(links.set(&"a", [2, 3]).is_empty(), "nothing is news twice");
        assert!(named(&links, 1).is_empty());
        links.set(&"a", []);
        assert!(links.named.is_empty() && links.naming.is_empty());
    }
}
