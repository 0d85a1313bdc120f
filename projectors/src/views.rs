//! The one list of read models. One more is a file in `view/` and a line here; its queries are rows of the table in
//! `steward_queries`.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::read_model::ReadModel;
use crate::view::access::AccessView;
use crate::view::audit::AuditView;
use crate::view::batches::BatchesView;
use crate::view::budgets::BudgetsView;
use crate::view::channels::ChannelsView;
use crate::view::cost::CostView;
use crate::view::directory::DirectoryView;
use crate::view::files::FilesView;
use crate::view::history::HistoryView;
use crate::view::metrics::MetricsView;
use crate::view::secrets::SecretsView;
use crate::view::settings::SettingsView;
use crate::view::tasks::TasksView;
use crate::view::tenancy::TenancyView;

/// All read models over `engine`.
pub(crate) fn views(engine: &Arc<Engine>) -> Vec<Arc<dyn ReadModel>> {
    vec![
        Arc::new(CostView::new(engine)),
        Arc::new(TasksView::new(engine)),
        Arc::new(FilesView::new(engine)),
        Arc::new(BatchesView::new(engine)),
        Arc::new(MetricsView::new(engine)),
        Arc::new(AuditView::new(engine)),
        Arc::new(DirectoryView::new(engine)),
        Arc::new(SettingsView::new(engine)),
        Arc::new(SecretsView::new(engine)),
        Arc::new(ChannelsView::new(engine)),
        Arc::new(BudgetsView::new(engine)),
        Arc::new(AccessView::new(engine)),
        Arc::new(TenancyView::new(engine)),
        Arc::new(HistoryView::new(engine)),
    ]
}
