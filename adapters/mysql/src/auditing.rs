//! Audits: parents are compared by the page or one by one, then repaired under a lock, or passed over.

use chat_core::{
    Chain, PortError, PortErrorKind,
    model::{ApplicationId, ChatKey, Sequence},
    ports::Audit,
};

use crate::{
    counting::{self, Page},
    repository::{MySqlRepository, run},
};

/// How many parents may fail in a row before the server is taken to be at fault.
const FAILURES: usize = 8;

/// The parents of a page that could not be compared.
struct PassedOver<Key> {
    keys: Vec<Key>,
    in_a_row: usize,
}

impl<Key: Copy> PassedOver<Key> {
    fn none() -> Self {
        Self {
            keys: Vec::new(),
            in_a_row: 0,
        }
    }

    /// Judges the outcome for one parent; `None` where the parent is passed over.
    ///
    /// A server that is unavailable would fail all of them, so that ends the audit.
    fn judge<T>(
        &mut self,
        key: Key,
        numbers: Sequence,
        outcome: Result<T, PortError>,
    ) -> Result<Option<T>, PortError> {
        match outcome {
            Ok(answer) => {
                self.in_a_row = 0;
                Ok(Some(answer))
            }
            Err(error) if error.kind == PortErrorKind::Unavailable || self.in_a_row == FAILURES => {
                Err(error)
            }
            Err(error) => {
                tracing::warn!(
                    sequence = %numbers,
                    error = %Chain(&error),
                    "a count could not be compared or repaired; the next audit tries again"
                );
                self.in_a_row += 1;
                self.keys.push(key);
                Ok(None)
            }
        }
    }
}

impl MySqlRepository {
    /// Audits a page of applications, by one statement where that succeeds.
    pub(crate) async fn audit_each_application(
        &self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Result<Audit<ApplicationId>, PortError> {
        let page = run!(
            self.keep_up("list applications to audit"),
            counting::page_applications(after, limit)
        )?;
        let mut passed_over = PassedOver::none();
        let mut repaired = Vec::new();
        for id in self.suspected_applications(&page, &mut passed_over).await? {
            let outcome = run!(
                self.keep_up("repair an application"),
                counting::repair_application(id)
            );
            if passed_over.judge(id, Sequence::Chats(id), outcome)? == Some(true) {
                repaired.push(id);
            }
        }
        Ok(audit(&page, repaired, passed_over))
    }

    /// The applications whose counts seem to be wrong.
    async fn suspected_applications(
        &self,
        page: &Page<ApplicationId>,
        passed_over: &mut PassedOver<ApplicationId>,
    ) -> Result<Vec<ApplicationId>, PortError> {
        if !page.is_large {
            let together = run!(
                self.keep_up("audit applications"),
                counting::compare_applications(&page.keys)
            );
            if let Some(suspects) = unless_slow(together)? {
                return Ok(suspects);
            }
        }
        let mut suspects = Vec::new();
        for id in page.keys.iter().copied() {
            let outcome = run!(
                self.keep_up("audit an application"),
                counting::is_application_sound(id)
            );
            if passed_over.judge(id, Sequence::Chats(id), outcome)? == Some(false) {
                suspects.push(id);
            }
        }
        Ok(suspects)
    }

    /// Audits a page of chats, by one statement where that succeeds.
    pub(crate) async fn audit_each_chat(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Audit<ChatKey>, PortError> {
        let page = run!(
            self.keep_up("list chats to audit"),
            counting::page_chats(after, limit)
        )?;
        let mut passed_over = PassedOver::none();
        let mut repaired = Vec::new();
        for key in self.suspected_chats(&page, &mut passed_over).await? {
            let outcome = run!(self.keep_up("repair a chat"), counting::repair_chat(key));
            if passed_over.judge(key, Sequence::Messages(key), outcome)? == Some(true) {
                repaired.push(key);
            }
        }
        Ok(audit(&page, repaired, passed_over))
    }

    /// The chats whose counts seem to be wrong.
    async fn suspected_chats(
        &self,
        page: &Page<ChatKey>,
        passed_over: &mut PassedOver<ChatKey>,
    ) -> Result<Vec<ChatKey>, PortError> {
        if !page.is_large {
            let together = run!(
                self.keep_up("audit chats"),
                counting::compare_chats(&page.keys)
            );
            if let Some(suspects) = unless_slow(together)? {
                return Ok(suspects);
            }
        }
        let mut suspects = Vec::new();
        for key in page.keys.iter().copied() {
            let outcome = run!(self.keep_up("audit a chat"), counting::is_chat_sound(key));
            if passed_over.judge(key, Sequence::Messages(key), outcome)? == Some(false) {
                suspects.push(key);
            }
        }
        Ok(suspects)
    }
}

fn audit<Key>(page: &Page<Key>, repaired: Vec<Key>, passed_over: PassedOver<Key>) -> Audit<Key>
where
    Key: Copy,
{
    let failed = passed_over.keys;
    Audit {
        next: page.next,
        checked: (page.keys.len() - failed.len()) as u64,
        repaired,
        failed,
    }
}

/// Judges the comparison of a whole page; `None` where its parents are better compared one by one.
fn unless_slow<T>(outcome: Result<T, PortError>) -> Result<Option<T>, PortError> {
    match outcome {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind == PortErrorKind::Unavailable => Err(error),
        Err(error) => {
            tracing::debug!(
                error = %Chain(&error),
                "a page of counts could not be compared by one statement; they are compared one by \
                 one"
            );
            Ok(None)
        }
    }
}
