//! `tidegate jobs`: jobs as the api shows them.

use anyhow::anyhow;
use bytes::Bytes;
use clap::Subcommand;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Duration, sleep};
use uuid::Uuid;

use crate::client::{Client, ClientError, Reply};
use crate::failure::Failure;
use crate::output::Output;
use crate::reach::Reach;

/// Time between two looks at a job that is waited for.
const LOOK: Duration = Duration::from_millis(500);

/// List, show and cancel jobs; compare a view with its recomputation.
#[derive(Debug, Subcommand)]
#[command(after_long_help = "Examples:\n  \
    tidegate jobs list air --state running\n  \
    tidegate jobs reconcile air city_hour --wait\n  \
    tidegate jobs cancel 0199…")]
pub enum Jobs {
    /// List the jobs of a product, newest first.
    List {
        /// The product.
        product: String,
        /// Only those in this state: accepted, running, applied, failed, cancelled or dead.
        #[arg(long)]
        state: Option<String>,
        /// Only those of this kind: ingest, reconcile or probe.
        #[arg(long)]
        kind: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        /// Which edge.
        #[command(flatten)]
        reach: Reach,
    },
    /// Show one job: how far it is, what came of it.
    Show {
        /// The job.
        id: Uuid,
        /// Which edge.
        #[command(flatten)]
        reach: Reach,
    },
    /// End a job early.
    Cancel {
        /// The job.
        id: Uuid,
        /// Which edge.
        #[command(flatten)]
        reach: Reach,
    },
    /// Compare a view with its recomputation from the rows, and repair what differs.
    Reconcile {
        /// The product.
        product: String,
        /// The view.
        view: String,
        /// Only report what differs.
        #[arg(long)]
        report_only: bool,
        /// Wait until it is done; status 1 if anything differed.
        #[arg(long)]
        wait: bool,
        /// Which edge.
        #[command(flatten)]
        reach: Reach,
    },
}

/// Runs a command.
///
/// # Errors
/// The edge can't be reached, or refused.
pub async fn run(command: Jobs, output: Output) -> Result<(), Failure> {
    match command {
        Jobs::List { product, state, kind, limit, reach } => {
            let mut path = format!("/v1/jobs?product={product}&limit={limit}");
            for (name, value) in [("state", state), ("kind", kind)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={value}"));
                }
            }
            let page = get(&reach.client()?, &path).await?;
            for job in page["jobs"].as_array().into_iter().flatten() {
                output.result(&line(job), job)?;
            }
            Ok(())
        }
        Jobs::Show { id, reach } => {
            let job = get(&reach.client()?, &format!("/v1/jobs/{id}")).await?;
            let text = serde_json::to_string_pretty(&job)?;
            output.result(&text, &job)?;
            Ok(())
        }
        Jobs::Cancel { id, reach } => cancel(id, &reach.client()?, output).await,
        Jobs::Reconcile { product, view, report_only, wait, reach } => {
            let repair = if report_only { "?repair=false" } else { "" };
            let path = format!("/v1/{product}/views/{view}/reconcile{repair}");
            reconcile(&path, wait, &reach.client()?, output).await
        }
    }
}

async fn cancel(id: Uuid, client: &Client, output: Output) -> Result<(), Failure> {
    let path = format!("/v1/jobs/{id}");
    let reply = client
        .send(Method::DELETE, &path, &[], Bytes::new())
        .await
        .map_err(ClientError::into_failure)?;
    let (text, state) = match reply.status {
        StatusCode::NO_CONTENT => ("cancelled: it had not begun", "cancelled"),
        StatusCode::ACCEPTED => ("its worker was told", "requested"),
        _ => return Err(refused(&reply)),
    };
    output.result(text, &serde_json::json!({ "job": id, "cancel": state }))?;
    Ok(())
}

async fn reconcile(path: &str, wait: bool, client: &Client, output: Output) -> Result<(), Failure> {
    let reply = client
        .send(Method::POST, path, &[], Bytes::new())
        .await
        .map_err(ClientError::into_failure)?;
    if reply.status != StatusCode::ACCEPTED {
        return Err(refused(&reply));
    }
    let receipt: Value = serde_json::from_slice(&reply.body)?;
    let id = receipt["job"].as_str().unwrap_or_default().to_owned();
    if !wait {
        output.result(
            &format!("job {id}; `tidegate jobs show {id}` tells how far it is"),
            &receipt,
        )?;
        return Ok(());
    }
    let job = finished(client, &id).await?;
    output.result(&line(&job), &job)?;
    let drifted = job["result"]["drifted"].as_u64().unwrap_or(0);
    match job["state"].as_str() {
        Some("applied") if drifted == 0 => Ok(()),
        Some("applied") => Err(Failure::failed(anyhow!("{drifted} groups differed"))),
        _ => Err(Failure::failed(anyhow!("the job did not end well"))),
    }
}

/// Waits for a job's end; Ctrl-C ends only the wait.
pub(crate) async fn finished(client: &Client, id: &str) -> Result<Value, Failure> {
    loop {
        let job = get(client, &format!("/v1/jobs/{id}")).await?;
        match job["state"].as_str() {
            Some("accepted" | "running") => sleep(LOOK).await,
            _ => return Ok(job),
        }
    }
}

/// Reads a document.
pub(crate) async fn get(client: &Client, path: &str) -> Result<Value, Failure> {
    let reply = client.get(path).await.map_err(ClientError::into_failure)?;
    if reply.status != StatusCode::OK {
        return Err(refused(&reply));
    }
    Ok(serde_json::from_slice(&reply.body)?)
}

/// Ends the command with the server's words.
pub(crate) fn refused(reply: &Reply) -> Failure {
    let error = anyhow!("{}", reply.problem());
    if reply.status.is_server_error() { Failure::unverified(error) } else { Failure::failed(error) }
}

fn line(job: &Value) -> String {
    let text = |name: &str| job[name].as_str().unwrap_or("-").to_owned();
    let progress = match (&job["progress"], &job["result"]) {
        (Value::Object(progress), _) if job["finished_at"].is_null() => {
            let message = progress.get("message").and_then(Value::as_str).unwrap_or_default();
            format!("{} % {message}", progress.get("percent").unwrap_or(&Value::Null))
        }
        (_, Value::Null) => job["error"].as_str().unwrap_or_default().to_owned(),
        (_, result) => result.to_string(),
    };
    let (id, kind, state) = (text("job"), text("kind"), text("state"));
    format!("{id}  {}  {kind:10}  {state:9}  {progress}", text("received_at")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_tells_progress_while_it_runs_and_the_result_after() {
        let mut job = json!({
            "job": "j", "kind": "reconcile", "state": "running", "received_at": "t",
            "finished_at": null, "result": null, "error": null,
            "progress": { "percent": 40, "message": "12 of 30 buckets" },
        });
        assert_eq!(line(&job), "j  t  reconcile   running    40 % 12 of 30 buckets");
        job["finished_at"] = json!("t2");
        job["state"] = json!("applied");
        job["result"] = json!({ "drifted": 0 });
        assert_eq!(line(&job), "j  t  reconcile   applied    {\"drifted\":0}");
    }
}
