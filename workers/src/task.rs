//! Durable tasks: which are open, who drives them, and how one is driven to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use steward_events::id::TenantId;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;
use steward_ports::live::Live;
use tracing::Span;

use crate::dispatch::Dispatch;
use crate::driving::{Bounds, Claimants, Keys, Left, Stop, Work};
use crate::step::model::Models;
use crate::{Config, WorkerPorts};

mod drive;
mod history;
mod key;
pub(crate) mod open_tasks;

use open_tasks::{OpenTasks, TaskRef};

/// What all tasks of a worker share.
pub(crate) struct Tasks {
    pub(crate) ports: WorkerPorts,
    pub(crate) config: Config,
    pub(crate) dispatch: Dispatch,
    pub(crate) models: Models,
    pub(crate) live: Live<OpenTasks>,
    pub(crate) authority: Arc<Keys>,
    pub(crate) claimants: Arc<Claimants>,
}

impl Work for Tasks {
    type Item = TaskRef;
    type Open = OpenTasks;

    fn live(&self) -> &Live<OpenTasks> {
        &self.live
    }
    fn clock(&self) -> &Arc<dyn Clock> {
        &self.ports.clock
    }
    fn bounds(&self) -> Bounds {
        Bounds {
            concurrent_max: self.config.tasks_concurrent_max.get() as usize,
            per_tenant_max: self.config.tasks_per_tenant_max.get() as usize,
            drain_time_max: self.config.drain_time_max,
        }
    }
    fn tenant(task: &TaskRef) -> &TenantId {
        &task.tenant
    }
    fn claimable(
        open: &OpenTasks,
        now: Timestamp,
        each_max: usize,
        skip: &dyn Fn(&TaskRef) -> bool,
    ) -> BTreeMap<TenantId, Vec<TaskRef>> {
        open.claimable(now, each_max, skip)
    }
    fn next_lapse(open: &OpenTasks, now: Timestamp) -> Option<Timestamp> {
        open.next_lapse(now)
    }
    fn span(task: &TaskRef) -> Span {
        tracing::info_span!("drive", tenant.id = %task.tenant, task.id = %task.task)
    }
    fn drive(self: Arc<Self>, task: TaskRef, stop: Stop) -> BoxFuture<'static, Left> {
        async move { drive::drive(&self, &task, &stop).await }.boxed()
    }
}
