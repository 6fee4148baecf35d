//! A bounded memory.

use std::{collections::HashMap, hash::Hash};

/// A map of bounded weight that forgets what was not used for longest, roughly: when the current generation is full it
/// becomes the previous one, which is forgotten; an entry that is used moves to the current one.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    current: HashMap<K, V>,
    previous: HashMap<K, V>,
    capacity: usize,
    weigh: fn(&V) -> usize,
    /// Of the current generation.
    weight: usize,
}

impl<K: Eq + Hash, V: Clone> Generations<K, V> {
    /// Room for at least as many entries, and for twice as many at most.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self::weighed(capacity, |_| 1)
    }

    /// Room for as much, as each value weighs, and for twice as much at most. No value weighs more than all together may.
    pub(crate) fn weighed(capacity: usize, weigh: fn(&V) -> usize) -> Self {
        Self { current: HashMap::new(), previous: HashMap::new(), capacity, weigh, weight: 0 }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.current.contains_key(key) || self.previous.contains_key(key)
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.current.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.previous.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(replaced) = self.current.remove(&key) {
            self.weight = self.weight.saturating_sub((self.weigh)(&replaced));
        }
        let weight = (self.weigh)(&value);
        if self.weight.saturating_add(weight) > self.capacity {
            // Both tables stay: a new one would grow from nothing amid all else that is remembered, and leave gaps there.
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.clear();
            self.weight = 0;
        }
        self.weight = self.weight.saturating_add(weight);
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

    #[test]
    fn heavy_values_leave_less_room() {
        let mut map = Generations::weighed(10, |value: &usize| *value);
        map.insert('a', 6);
        map.insert('a', 4);
        map.insert('b', 6);
        assert_eq!((map.current.len(), map.previous.len()), (2, 0));
        map.insert('c', 1);
        assert_eq!((map.current.len(), map.previous.len()), (1, 2));
        map.insert('d', 10);
        assert!(map.contains(&'c') && !map.contains(&'a') && !map.contains(&'b'));
    }
}
