//! `steward task list|show|watch`.

use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::id::TaskId;
use steward_queries::{StepView, TaskList, TaskListQuery, TaskQuery, TaskState, TaskView};

use crate::client::Client;
use crate::output;

/// The task that was typed.
pub(super) fn id(matches: &ArgMatches) -> Result<TaskId, BoxError> {
    Ok(matches.get_one::<String>("task").ok_or("which task?")?.parse()?)
}

pub(super) async fn list(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let query = TaskListQuery { count_max: matches.get_one::<u32>("count").copied(), min_position: None };
    let list: TaskList = client.query(&client.tenant()?, "task", "list", &query).await?;
    if json {
        return output::json(&list);
    }
    if list.tasks.is_empty() {
        println!("no tasks yet; submit one: steward task submit AGENT \"what is to be done\"");
        return Ok(());
    }
    let rows = list.tasks.into_iter().map(|task| {
        let done = task.steps.iter().filter(|step| step.finished).count();
        let submitted = task.submitted_at.to_string();
        let submitted = submitted.get(..19).unwrap_or(&submitted).replace('T', " ");
        vec![
            task.task.to_string(),
            task.agent.to_string(),
            word(task.state),
            done.to_string(),
            task.cost.to_string(),
            submitted,
        ]
    });
    output::say_lines(&output::table(
        &["TASK", "AGENT", "STATE", "STEPS", "COST", "SUBMITTED"],
        &["STEPS", "COST"],
        rows,
    ));
    Ok(())
}

pub(super) async fn show(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let task = fetch(&id(matches)?, client).await?;
    if json {
        return output::json(&task);
    }
    println!("{}  {}  agent {}  on {}  by {}", task.task, word(task.state), task.agent, task.scope, task.submitted_by);
    for step in &task.steps {
        println!("  {}", step_line(step));
    }
    ending(&task);
    Ok(())
}

/// Prints each change until the task is over. Exit status 0 only if it finished.
pub(super) async fn watch(id: &TaskId, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let mut seen = (0_u32, 0_usize);
    loop {
        // The view follows the log by a moment: a task just submitted may not be in it yet.
        let task = match fetch(id, client).await {
            Ok(task) => task,
            Err(_) if seen == (0, 0) => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                seen = (0, usize::MAX);
                continue;
            }
            Err(error) => return Err(error),
        };
        if seen.1 == usize::MAX {
            seen.1 = 0;
        }
        if !json {
            if task.epoch > seen.0 {
                println!("{}  claimed by {}", task.task, task.worker.as_deref().unwrap_or("?"));
            }
            for step in task.steps.iter().filter(|step| step.finished).skip(seen.1) {
                println!("  {}", step_line(step));
            }
        }
        if output::is_closed() {
            return Ok(ExitCode::SUCCESS);
        }
        seen = (task.epoch, task.steps.iter().filter(|step| step.finished).count());
        if !matches!(task.state, TaskState::Waiting | TaskState::Running) {
            if json {
                output::json(&task)?;
            } else {
                println!("  {}", word(task.state));
                ending(&task);
            }
            return Ok(if task.state == TaskState::Finished { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn fetch(task: &TaskId, client: &Client) -> Result<TaskView, BoxError> {
    let query = TaskQuery { task: task.clone(), min_position: None };
    client.query(&client.tenant()?, "task", "show", &query).await
}

fn word(state: TaskState) -> String {
    serde_json::to_value(state).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn step_line(step: &StepView) -> String {
    if !step.finished {
        return format!("step {} {} …", step.step, step.kind);
    }
    let tokens = step.tokens.total();
    let (seconds, tenths) = (step.duration_ms / 1000, step.duration_ms % 1000 / 100);
    format!("step {} {} {seconds}.{tenths} s {tokens} tokens {}", step.step, step.kind, step.cost)
}

fn ending(task: &TaskView) {
    if let Some(answer) = &task.output {
        // Each line is set in, so that none passes for one of ours.
        println!("  answer: {}", answer.lines().next().unwrap_or_default());
        for line in answer.lines().skip(1) {
            println!("          {line}");
        }
    }
    if let Some(reason) = &task.reason {
        println!("  because: {reason}");
    }
    println!("  cost {}", task.cost);
}
