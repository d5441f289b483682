//! What is queued, page by page, through the daemon or by hand.

use super::{Access, reach};
use crate::{
    config::Config,
    control::{Shown, ShownPage},
};

/// Reads the queue from the oldest sample on; never holds more than one page.
pub(super) struct Pages {
    access: Access,
    next: Option<u64>,
    /// Places so far that can't be read.
    pub(super) damaged: u64,
}

impl Pages {
    /// Reaches the queue.
    pub(super) async fn of(config: &Config) -> anyhow::Result<Self> {
        Ok(Self { access: reach(config).await?, next: Some(0), damaged: 0 })
    }

    /// Whether everything was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.next.is_none()
    }

    /// The next samples, at most `max_samples`; there may be none though it isn't the end.
    pub(super) async fn next(&mut self, max_samples: usize) -> anyhow::Result<Vec<Shown>> {
        let Some(from) = self.next else { return Ok(Vec::new()) };
        let page = match &mut self.access {
            Access::Daemon(client) => client.page(from, max_samples).await?,
            Access::Here(queue) => ShownPage::new(&queue.inspector.page(from, max_samples).await?),
        };
        self.next = page.next;
        self.damaged += page.damaged;
        Ok(page.samples)
    }

    /// What is to be said of damaged places, if there were some.
    pub(super) fn warning(&self) -> Option<String> {
        let places = match self.damaged {
            0 => return None,
            1 => "1 damaged place was".to_owned(),
            many => format!("{many} damaged places were"),
        };
        Some(format!("collector: {places} passed over; `collector queue verify` says more"))
    }
}
