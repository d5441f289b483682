//! What stood in the same place of the item before: numbers and texts by their place in the item,
//! and the sums of a list's numbers.

/// The same for the writer and the reader, or nothing would come back.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    before: Vec<u64>,
    now: Vec<u64>,
    sums: Vec<u64>,
    texts_before: Vec<String>,
    texts_now: Vec<String>,
}

impl Siblings {
    /// What the next number is expected to resemble.
    pub(super) fn expected(&self) -> Option<u64> {
        self.before.get(self.now.len()).copied()
    }

    /// Remembers the number that stands here.
    pub(super) fn push(&mut self, number: u64) {
        self.now.push(number);
    }

    /// What the next text is expected to resemble.
    pub(super) fn expected_text(&self) -> &str {
        self.texts_before.get(self.texts_now.len()).map_or("", String::as_str)
    }

    /// Remembers the text that stands here.
    pub(super) fn push_text(&mut self, text: &str) {
        self.texts_now.push(text.to_owned());
    }

    /// Nothing resembles what came so far.
    pub(super) fn begin_list(&mut self) {
        let Self { before, now, sums, texts_before, texts_now } = self;
        [before, now, sums].into_iter().for_each(Vec::clear);
        [texts_before, texts_now].into_iter().for_each(Vec::clear);
    }

    /// The item is complete, the next one resembles it.
    pub(super) fn end_item(&mut self) {
        if self.sums.len() < self.now.len() {
            self.sums.resize(self.now.len(), 0);
        }
        for (sum, number) in self.sums.iter_mut().zip(&self.now) {
            *sum = sum.wrapping_add(*number);
        }
        std::mem::swap(&mut self.before, &mut self.now);
        std::mem::swap(&mut self.texts_before, &mut self.texts_now);
        self.now.clear();
        self.texts_now.clear();
    }

    /// Nothing that follows resembles the list's items.
    pub(super) fn end_list(&mut self) {
        self.before.clear();
        self.texts_before.clear();
    }

    /// What follows resembles the sums of the last list.
    pub(super) fn expect_sums(&mut self) {
        self.before = std::mem::take(&mut self.sums);
        self.now.clear();
    }
}
