//! A list of subscribers that can be walked while others join and leave.

use indexmap::IndexSet;

/// The subscribers of a channel on a shard, by the key of their connection.
///
/// A walk visits everyone who was on the list when it began and is still there when their turn comes: nobody twice,
/// and nobody who joined later. For that the list is kept in three parts: those visited, those still to visit, and
/// those who joined since; whoever leaves is first moved to the end of each part in turn.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: IndexSet<usize>,
    /// Where the part still to visit begins.
    next: usize,
    /// Where the part that joined since begins.
    end: usize,
}

impl Roster {
    /// Adds a member; a walk under way does not visit it. Returns whether it is new.
    pub(crate) fn join(&mut self, member: usize) -> bool {
        self.members.insert(member)
    }

    /// Removes a member.
    pub(crate) fn leave(&mut self, member: usize) {
        let Some(mut at) = self.members.get_index_of(&member) else { return };
        if at < self.next {
            self.next -= 1;
            self.members.swap_indices(at, self.next);
            at = self.next;
        }
        if at < self.end {
            self.end -= 1;
            self.members.swap_indices(at, self.end);
            at = self.end;
        }
        self.members.swap_remove_index(at);
        if self.members.is_empty() {
            self.members.shrink_to_fit();
        }
    }

    /// Begins a walk over all members of now.
    pub(crate) fn begin_walk(&mut self) {
        self.next = 0;
        self.end = self.members.len();
    }

    /// The next member of the walk; `None` at its end.
    pub(crate) fn walk(&mut self) -> Option<usize> {
        let member = (self.next < self.end).then(|| self.members.get_index(self.next).copied())??;
        self.next += 1;
        Some(member)
    }

    /// At most `count` members that the walk comes to next.
    pub(crate) fn ahead(&self, count: usize) -> impl Iterator<Item = usize> {
        let end = self.end.min(self.next + count);
        self.members.get_range(self.next..end).into_iter().flatten().copied()
    }

    /// Whether `member` is on the list.
    pub(crate) fn has(&self, member: usize) -> bool {
        self.members.contains(&member)
    }

    /// Whether the walk has yet to come to `member`.
    pub(crate) fn is_ahead(&self, member: usize) -> bool {
        self.members.get_index_of(&member).is_some_and(|at| (self.next..self.end).contains(&at))
    }

    /// Whether there is no member.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[derive(Debug, Clone)]
    enum Step {
        Join(usize),
        Leave(usize),
        Walk,
        Begin,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (0..12usize).prop_map(Step::Join),
            2 => (0..12usize).prop_map(Step::Leave),
            4 => Just(Step::Walk),
            1 => Just(Step::Begin),
        ]
    }

    /// What the list must do, said with sets.
    #[derive(Default)]
    struct Model {
        members: HashSet<usize>,
        to_visit: HashSet<usize>,
    }

    proptest! {
        #[test]
        fn a_walk_skips_nobody_and_visits_nobody_twice(steps in prop::collection::vec(step(), 0..200)) {
            let (mut roster, mut model) = (Roster::default(), Model::default());
            for step in steps {
                match step {
                    Step::Join(member) => {
                        prop_assert_eq!(roster.join(member), model.members.insert(member));
                    }
                    Step::Leave(member) => {
                        roster.leave(member);
                        model.members.remove(&member);
                        model.to_visit.remove(&member);
                    }
                    Step::Begin => {
                        roster.begin_walk();
                        model.to_visit = model.members.clone();
                    }
                    Step::Walk => match roster.walk() {
                        Some(member) => prop_assert!(model.to_visit.remove(&member)),
                        None => prop_assert!(model.to_visit.is_empty()),
                    },
                }
                prop_assert_eq!(roster.members.len(), model.members.len());
                for member in 0..12 {
                    prop_assert_eq!(roster.has(member), model.members.contains(&member));
                    prop_assert_eq!(roster.is_ahead(member), model.to_visit.contains(&member));
                }
            }
        }
    }
}
