//! A bounded memory.

use std::{collections::HashMap, hash::Hash};

/// A map of bounded size that forgets what was not used for longest, roughly: when the current generation is full it
/// becomes the previous one, which is forgotten; an entry that is used moves to the current one.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    current: HashMap<K, V>,
    previous: HashMap<K, V>,
    capacity: usize,
}

impl<K: Copy + Eq + Hash, V: Clone> Generations<K, V> {
    /// Room for at least as many entries, and for twice as many at most.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { current: HashMap::new(), previous: HashMap::new(), capacity }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.current.get(key) {
            return Some(value.clone());
        }
        let value = self.previous.remove(key)?;
        self.insert(*key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.current.len() >= self.capacity && !self.current.contains_key(&key) {
            self.previous = std::mem::take(&mut self.current);
        }
        self.current.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_size_is_bounded() {
        let mut map = Generations::with_capacity(4);
        map.insert(0, 'a');
        for key in 1..100 {
            map.insert(key, 'b');
            assert_eq!(map.get(&0), Some('a'), "after {key}");
            assert!(map.current.len() <= 4 && map.previous.len() <= 4);
        }
        assert_eq!(map.get(&1), None);
    }
}
