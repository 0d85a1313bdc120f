//! The real handler, and a record of what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use steward_events::event::KeyHash;
use steward_events::id::PrincipalId;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::{Reply, Request};
use steward_handler::bootstrap::first_start;
use steward_handler::{Handler, HandlerConfig, HandlerPorts};
use steward_ports::bus::{CommandService, Failure};
use steward_ports::clock::{RandomIds, SystemClock};
use steward_ports::keys::Keyring;
use steward_ports::log::EventLog;
use tokio::sync::Mutex;

pub(crate) struct Desk {
    handler: Arc<Handler>,
    /// Who may do everything.
    pub(crate) operator: PrincipalId,
    /// Every command that came.
    pub(crate) asked: Mutex<Vec<Request>>,
    /// Refuses budgets, to see what a task makes of that.
    pub(crate) refuse_budgets: AtomicBool,
}

impl Desk {
    pub(crate) async fn new(log: Arc<dyn EventLog>, keyring: Arc<Keyring>) -> Self {
        let (clock, ids) = (Arc::new(SystemClock::default()), Arc::new(RandomIds::default()));
        let hash = KeyHash::of("stw_steward_test");
        let start = first_start(log.clone(), clock.clone(), ids.clone(), log.shards(), &hash).await.unwrap();
        let handler = Handler::new(HandlerPorts { log, keyring, clock, ids }, HandlerConfig::default());
        Self { handler, operator: start.operator, asked: Mutex::default(), refuse_budgets: false.into() }
    }

    pub(crate) async fn asked(&self, name: &str) -> Vec<Request> {
        let asked = self.asked.lock().await;
        asked.iter().filter(|request| format!("{}.{}", request.noun, request.verb) == name).cloned().collect()
    }
}

#[async_trait]
impl CommandService for Desk {
    async fn handle(&self, request: Request) -> Result<Reply, Failure> {
        self.asked.lock().await.push(request.clone());
        if request.noun == "budget" && self.refuse_budgets.load(Ordering::Relaxed) {
            return Ok(Reply::refused(Rejection::invalid("scope", "no budgets here"), Position(0)));
        }
        self.handler.handle(request).await
    }
}
