//! Groups and their members, as rows.

use steward_events::event::AccessEvent;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::timestamp::Timestamp;

use super::{DirectoryRow, StoredGroup, StoredMember, grants_of, group_key, groups_of, members_of};
use crate::engine::rows::Rows;

/// Takes in what concerns groups.
pub(super) fn fold(event: &AccessEvent, tenant: &TenantId, at: Timestamp, rows: &mut Rows<DirectoryRow>) {
    match event {
        AccessEvent::GroupDefined { group, name, description } => {
            let row = rows.row(&group_key(tenant, group));
            let members = if let Some(DirectoryRow::Group(known)) = row { known.members } else { 0 };
            let (group, name, description) = (group.clone(), name.clone(), description.clone());
            *row = Some(DirectoryRow::Group(StoredGroup { group, name, description, members, defined_at: at }));
        }
        AccessEvent::GroupJoined { group, member } => {
            let Some(DirectoryRow::Group(known)) = rows.row(&group_key(tenant, group)) else { return };
            known.members += 1;
            let row = StoredMember { group: group.clone(), member: member.clone(), joined_at: at };
            for key in places(tenant, group, member) {
                *rows.row(&key) = Some(DirectoryRow::Member(row.clone()));
            }
        }
        AccessEvent::GroupLeft { group, member, reason: _ } => {
            if let Some(DirectoryRow::Group(known)) = rows.row(&group_key(tenant, group)) {
                known.members = known.members.saturating_sub(1);
            }
            for key in places(tenant, group, member) {
                *rows.row(&key) = None;
            }
        }
        AccessEvent::GroupRemoved { group, reason: _ } => {
            for key in rows.keys(&members_of(tenant, group)) {
                if let Some(DirectoryRow::Member(row)) = rows.row(&key).take() {
                    *rows.row(&groups_of(tenant, &row.member).text(group.as_str())) = None;
                }
            }
            for key in rows.keys(&grants_of(tenant, group)) {
                *rows.row(&key) = None;
            }
            *rows.row(&group_key(tenant, group)) = None;
        }
        // No other event is about groups.
        _ => {}
    }
}

/// Where a membership stands.
fn places(tenant: &TenantId, group: &PrincipalId, member: &PrincipalId) -> [crate::engine::key::Key; 2] {
    [members_of(tenant, group).text(member.as_str()), groups_of(tenant, member).text(group.as_str())]
}
