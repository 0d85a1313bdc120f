//! A tenant's projects: created, renamed, archived and restored, and never gone.

use std::collections::BTreeMap;

use steward_events::command::{ArchiveProject, CreateProject, RenameProject, RestoreProject};
use steward_events::event::TenantEvent;
use steward_events::id::ProjectId;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::Tenant;
use crate::limit;

/// The most projects of one tenant, archived ones included.
pub const PROJECTS_MAX: usize = 10_000;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// One project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// What people call it.
    pub name: String,
    /// Why it is archived, if it is.
    pub archived: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Those that somebody created.
#[derive(Clone, Debug, Default)]
pub(super) struct Projects(BTreeMap<ProjectId, Project>);

impl Tenant {
    /// Its projects.
    pub fn projects(&self) -> impl Iterator<Item = (&ProjectId, &Project)> {
        self.projects.0.iter()
    }

    /// The project that `scope` belongs to, if somebody created it.
    pub fn project(&self, scope: &Scope) -> Option<&Project> {
        if self.projects.0.is_empty() {
            return None;
        }
        self.projects.0.get(&ProjectId::new(scope.project()?).ok()?)
    }

    /// True once the tenant says which projects it has: from then on others are refused.
    pub fn has_projects(&self) -> bool {
        !self.projects.0.is_empty()
    }
}

impl Projects {
    fn find(&self, project: &ProjectId) -> Result<&Project, Rejection> {
        self.0.get(project).ok_or_else(|| Rejection::not_found("project", project))
    }

    pub(super) fn create(&self, create: &CreateProject) -> Result<Vec<TenantEvent>, Rejection> {
        let CreateProject { project, name } = create;
        let name = name.clone().unwrap_or_else(|| project.to_string());
        limit::text("name", &name, NAME_BYTES_MAX)?;
        match self.0.get(project) {
            Some(Project { archived: Some(reason), .. }) => Err(Rejection::stale(format!(
                "project {project} is archived ({reason}); steward project restore {project} lets it be used again"
            ))),
            // Whoever does not say a name is content with the one that it has.
            Some(known) if create.name.is_none() || known.name == name => Ok(vec![]),
            Some(_) => Err(Rejection::AlreadyExists { what: "project".to_owned(), id: project.to_string() }),
            None => {
                limit::count("projects", self.0.len() + 1, PROJECTS_MAX)?;
                Ok(vec![TenantEvent::ProjectCreated { project: project.clone(), name }])
            }
        }
    }

    pub(super) fn rename(&self, rename: &RenameProject) -> Result<Vec<TenantEvent>, Rejection> {
        let RenameProject { project, name } = rename.clone();
        limit::text("name", &name, NAME_BYTES_MAX)?;
        if name.is_empty() {
            return Err(Rejection::invalid("name", "is empty"));
        }
        let known = self.find(&project)?;
        Ok(if known.name == name { vec![] } else { vec![TenantEvent::ProjectRenamed { project, name }] })
    }

    pub(super) fn archive(&self, archive: &ArchiveProject) -> Result<Vec<TenantEvent>, Rejection> {
        let ArchiveProject { project, reason } = archive.clone();
        limit::reason(&reason)?;
        let known = self.find(&project)?;
        Ok(if known.archived.is_some() { vec![] } else { vec![TenantEvent::ProjectArchived { project, reason }] })
    }

    pub(super) fn restore(&self, restore: &RestoreProject) -> Result<Vec<TenantEvent>, Rejection> {
        let project = restore.project.clone();
        let known = self.find(&project)?;
        Ok(if known.archived.is_some() { vec![TenantEvent::ProjectRestored { project }] } else { vec![] })
    }

    pub(super) fn apply(&mut self, event: &TenantEvent, at: Timestamp) {
        match event {
            TenantEvent::ProjectCreated { project, name } => {
                let new = Project { name: name.clone(), archived: None, created_at: at };
                self.0.insert(project.clone(), new);
            }
            TenantEvent::ProjectRenamed { project, name } => {
                self.change(project, |known| known.name.clone_from(name));
            }
            TenantEvent::ProjectArchived { project, reason } => {
                self.change(project, |known| known.archived = Some(reason.clone()));
            }
            TenantEvent::ProjectRestored { project } => self.change(project, |known| known.archived = None),
            _ => {}
        }
    }

    fn change(&mut self, project: &ProjectId, change: impl FnOnce(&mut Project)) {
        if let Some(known) = self.0.get_mut(project) {
            change(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::TenantCommand;

    use super::*;
    use crate::spec::given;

    fn opened() -> TenantEvent {
        TenantEvent::Created { tenant: "acme".parse().unwrap(), timezone: "UTC".to_owned() }
    }

    fn support() -> ProjectId {
        "support".parse().unwrap()
    }

    fn create(name: Option<&str>) -> TenantCommand {
        CreateProject { project: support(), name: name.map(str::to_owned) }.into()
    }

    fn created(name: &str) -> TenantEvent {
        TenantEvent::ProjectCreated { project: support(), name: name.to_owned() }
    }

    fn archive() -> TenantCommand {
        ArchiveProject { project: support(), reason: "done".to_owned() }.into()
    }

    fn archived() -> TenantEvent {
        TenantEvent::ProjectArchived { project: support(), reason: "done".to_owned() }
    }

    #[test]
    fn a_project_is_created_once() {
        given::<Tenant>([opened()]).when(create(None)).then([created("support")]);
        given::<Tenant>([opened(), created("Support")]).when(create(None)).then([]);
        let taken = Rejection::AlreadyExists { what: "project".to_owned(), id: "support".to_owned() };
        given::<Tenant>([opened(), created("Support")]).when(create(Some("Sales"))).then_rejected(&taken);
    }

    #[test]
    fn a_project_is_archived_and_restored() {
        let restore = || RestoreProject { project: support() };
        let restored = || TenantEvent::ProjectRestored { project: support() };
        let there = || [opened(), created("Support")];
        given::<Tenant>(there()).when(archive()).then([archived()]);
        given::<Tenant>(there().into_iter().chain([archived()])).when(archive()).then([]);
        given::<Tenant>(there().into_iter().chain([archived()])).when(restore()).then([restored()]);
        given::<Tenant>(there()).when(restore()).then([]);
        given::<Tenant>([opened()]).when(archive()).then_rejected(&Rejection::not_found("project", &"support"));
    }

    #[test]
    fn an_archived_project_is_not_created_again() {
        let why = "project support is archived (done); steward project restore support lets it be used again";
        let history = [opened(), created("Support"), archived()];
        given::<Tenant>(history).when(create(None)).then_rejected(&Rejection::stale(why));
    }

    #[test]
    fn a_tenant_has_no_more_projects_than_its_bound() {
        let mut projects = Projects::default();
        let new = |number: usize| CreateProject { project: format!("p{number}").parse().unwrap(), name: None };
        for number in 0..PROJECTS_MAX {
            for event in projects.create(&new(number)).unwrap() {
                projects.apply(&event, Timestamp(0));
            }
        }
        assert!(projects.create(&new(PROJECTS_MAX)).is_err());
    }
}
