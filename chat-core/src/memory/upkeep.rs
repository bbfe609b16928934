//! Audits, purges, claims and jobs of the tables in memory.

use super::tables::{Note, Tables};
use crate::{
    model::{ApplicationId, ChatKey, Job, JobName, JobProgress},
    ports::{Audit, Claim, JobClaim, OutboxRow, Parent},
};

impl Tables {
    pub(super) fn audit_applications(
        &mut self,
        after: Option<ApplicationId>,
        limit: usize,
    ) -> Audit<ApplicationId> {
        let rest = self
            .applications
            .iter()
            .filter(|(id, _)| after.is_none_or(|it| **id > it));
        let ids: Vec<_> = rest.map(|(id, _)| *id).take(limit).collect();
        let mut repaired = Vec::new();
        for id in &ids {
            let own = self.chats.iter().filter(|(key, _)| key.application == *id);
            let created = own.filter(|(_, row)| row.uid.is_some());
            let (mut count, mut last) = (0, 0);
            for (key, row) in created {
                count += u64::from(!row.deleted);
                last = last.max(key.chat.get());
            }
            let Some(row) = self.applications.get_mut(id).filter(|row| !row.deleted) else {
                continue;
            };
            if row.application.chats_count != count || row.last_number < last {
                row.application.chats_count = count;
                row.last_number = row.last_number.max(last);
                repaired.push(*id);
            }
        }
        let next = ids.last().copied().filter(|_| ids.len() == limit);
        Audit {
            next,
            checked: ids.len() as u64,
            repaired,
            failed: Vec::new(),
        }
    }

    pub(super) fn audit_chats(&mut self, after: Option<ChatKey>, limit: usize) -> Audit<ChatKey> {
        let rest = self
            .chats
            .keys()
            .filter(|key| after.is_none_or(|after| **key > after));
        let keys: Vec<_> = rest.copied().take(limit).collect();
        let mut repaired = Vec::new();
        for chat in &keys {
            let gone = self.chat_state(*chat) == Parent::Gone;
            let own = self
                .messages
                .iter()
                .filter(|(key, _)| key.chat_key() == *chat);
            let (mut count, mut last) = (0, 0);
            for (key, row) in own {
                count += u64::from(row.deleted_at.is_none());
                last = last.max(key.message.get());
            }
            let Some(row) = self.chats.get_mut(chat).filter(|_| !gone) else {
                continue;
            };
            if row.chat.messages_count != count || row.last_number < last {
                row.chat.messages_count = count;
                row.last_number = row.last_number.max(last);
                repaired.push(*chat);
            }
        }
        let next = keys.last().copied().filter(|_| keys.len() == limit);
        Audit {
            next,
            checked: keys.len() as u64,
            repaired,
            failed: Vec::new(),
        }
    }

    pub(super) fn purge_below_deleted(&mut self, limit: usize) -> u64 {
        let below_gone = |key: &ChatKey| self.chat_state(*key) == Parent::Gone;
        let messages = self
            .messages
            .keys()
            .filter(|key| below_gone(&key.chat_key()));
        let messages: Vec<_> = messages.copied().take(limit).collect();
        let orphans = |key: &&ChatKey| self.application_state(key.application) == Parent::Gone;
        let room = limit - messages.len();
        let chats: Vec<_> = self
            .chats
            .keys()
            .filter(orphans)
            .copied()
            .take(room)
            .collect();
        for key in &messages {
            self.messages.remove(key);
        }
        for key in &chats {
            self.chats.remove(key);
        }
        (messages.len() + chats.len()) as u64
    }

    pub(super) fn claim_job(&mut self, name: JobName, claim: &Claim) -> JobClaim {
        let known = self.jobs.get(&name).cloned();
        if let Some(job) = &known
            && job.holder != claim.holder
            && job.lease_until > claim.now
        {
            return JobClaim::Held(job.clone());
        }
        let job = Job {
            holder: claim.holder.clone(),
            lease_until: claim.until,
            progress: JobProgress::begun(claim.now),
        };
        self.jobs.insert(name, job);
        JobClaim::Claimed(known)
    }

    pub(super) fn claim_outbox(&mut self, claim: &Claim, limit: usize) -> Vec<OutboxRow> {
        let free = self
            .outbox
            .iter_mut()
            .filter(|(_, note)| match &note.claimed {
                Some((_, until)) => *until <= claim.now,
                None => true,
            });
        let take = |(id, note): (&u64, &mut Note)| {
            note.claimed = Some((claim.holder.clone(), claim.until));
            OutboxRow {
                id: *id,
                changes: note.changes.clone(),
            }
        };
        free.take(limit).map(take).collect()
    }

    pub(super) fn release_outbox(&mut self, claim: &Claim, rows: &[u64]) {
        for id in rows {
            if self.holds(claim, *id)
                && let Some(note) = self.outbox.get_mut(id)
            {
                note.claimed = None;
            }
        }
    }

    pub(super) fn complete_outbox(&mut self, claim: &Claim, rows: &[u64]) {
        for id in rows {
            if self.holds(claim, *id) {
                self.outbox.remove(id);
            }
        }
    }

    fn holds(&self, claim: &Claim, id: u64) -> bool {
        let claimed = self.outbox.get(&id).and_then(|note| note.claimed.as_ref());
        claimed.is_some_and(|(holder, _)| *holder == claim.holder)
    }
}
