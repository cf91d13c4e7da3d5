//! A vector for builders: after a batch is taken out, it makes room for one more like it, once that begins.

/// Values of a batch in the making.
#[derive(Clone, Debug)]
pub(super) struct Gather<V> {
    values: Vec<V>,
    /// How many the last batch had.
    last: usize,
}

impl<V> Default for Gather<V> {
    fn default() -> Self {
        Gather { values: Vec::new(), last: 0 }
    }
}

impl<V: Copy> Gather<V> {
    #[inline]
    pub(super) fn push(&mut self, value: V) {
        if self.values.len() == self.values.capacity() {
            self.grow(1);
        }
        self.values.push(value);
    }

    #[inline]
    pub(super) fn extend(&mut self, values: &[V]) {
        if self.values.capacity() - self.values.len() < values.len() {
            self.grow(values.len());
        }
        self.values.extend_from_slice(values);
    }

    #[cold]
    fn grow(&mut self, by: usize) {
        if self.values.is_empty() {
            self.values.reserve_exact(self.last.max(by));
        } else {
            self.values.reserve(by);
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values; the vector is empty again and holds no memory.
    pub(super) fn take(&mut self) -> Vec<V> {
        self.last = self.values.len();
        std::mem::take(&mut self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_batch_is_allocated_once() {
        let mut gather = Gather::default();
        for batch in 0..3 {
            for value in 0..1000u32 {
                gather.push(value);
                assert!(batch == 0 || gather.values.capacity() == 1000);
            }
            gather.extend(&[]);
            assert_eq!(gather.len(), 1000);
            assert_eq!(gather.take(), (0..1000).collect::<Vec<u32>>());
            assert!(gather.is_empty());
            assert_eq!(gather.values.capacity(), 0);
        }
        gather.extend(&[1; 1500]);
        gather.extend(&[2; 1500]);
        assert_eq!(gather.take().len(), 3000);
    }
}
