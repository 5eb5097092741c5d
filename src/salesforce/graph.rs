//! Several kinds of change to one ad as one unit: all of them or none (REST API
//! Developer Guide, "Composite Graph"). One call carries many ads.

use std::collections::HashMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Client, Request};
use super::code::Purpose;
use super::collections::{Outcome, Saved};
use super::error::{Entry, Error, RecordError};
use super::id::to_18;
use super::names::Names;
use super::record::{Record, Target};

/// The most graphs that one call may carry.
pub const MAX_GRAPHS: usize = 75;

/// The most steps that all graphs of one call may have together.
pub const MAX_STEPS: usize = 500;

/// One change of one record.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Creates a record that is certainly new.
    Create(Record<'a>),
    /// Creates or updates a record by its external id.
    Upsert(Record<'a>),
    /// Updates a record whose id is known.
    Update(&'a str, Record<'a>),
    /// Deletes a record by its id. One that is gone already fails the graph,
    /// with an error that [`RecordError::is_gone`] knows.
    Delete(&'a str),
}

/// Why nothing of a graph was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step} was refused")]
pub struct GraphError {
    /// Which step, counted from zero.
    pub step: usize,
    /// What Salesforce said about it.
    #[source]
    pub error: RecordError,
}

/// What became of a graph: a record for each of its steps, or nothing at all.
pub type GraphResult = Result<Vec<Saved>, GraphError>;

impl Client {
    /// Carries out each list of steps as a whole or not at all, independently
    /// of the others; results are in the order of the graphs. At most
    /// [`MAX_GRAPHS`] graphs and [`MAX_STEPS`] steps.
    pub async fn graphs(&self, graphs: &[Vec<Step<'_>>]) -> Result<Vec<GraphResult>, Error> {
        let checked: Vec<Result<String, GraphError>> = graphs
            .iter()
            .enumerate()
            .map(|(index, steps)| self.graph(index, steps))
            .collect();
        let sent: Vec<&str> = checked.iter().flatten().map(String::as_str).collect();
        let mut answered = HashMap::new();
        if !sent.is_empty() {
            let request = Request {
                purpose: Purpose::Write,
                method: Method::POST,
                target: self.path(&["composite", "graph"]),
                body: Some(format!(r#"{{"graphs":[{}]}}"#, sent.join(",")).into()),
            };
            let answers: Answers = self.call(request).await?.json()?;
            answered.extend(
                answers
                    .graphs
                    .into_iter()
                    .map(|graph| (graph.id.clone(), graph)),
            );
        }
        let miscounted = Error::Miscounted {
            sent: sent.len(),
            received: answered.len(),
        };
        let ours = self.names();
        let results: Option<Vec<GraphResult>> = checked
            .iter()
            .zip(graphs)
            .enumerate()
            .map(|(index, (checked, steps))| match checked {
                Ok(_sent) => answered.get(&graph_id(index))?.result(steps, ours),
                Err(refused) => Some(Err(refused.clone())),
            })
            .collect();
        results.ok_or(miscounted)
    }

    /// One graph as JSON, or which of its steps cannot be sent.
    fn graph(&self, index: usize, steps: &[Step<'_>]) -> Result<String, GraphError> {
        let nodes: Result<Vec<String>, GraphError> = steps
            .iter()
            .enumerate()
            .map(|(step, change)| {
                self.node(step, *change)
                    .map_err(|error| GraphError { step, error })
            })
            .collect();
        let (id, nodes) = (graph_id(index), nodes?.join(","));
        Ok(format!(
            r#"{{"graphId":"{id}","compositeRequest":[{nodes}]}}"#
        ))
    }

    fn node(&self, index: usize, step: Step<'_>) -> Result<String, RecordError> {
        let names = self.names();
        let Names {
            object,
            external_id: field,
            ..
        } = names;
        let id = |id| to_18(id).ok_or_else(|| RecordError::unusable("this is no record id"));
        let (method, url, body) = match step {
            Step::Create(record) => {
                let url = self.path(&["sobjects", object]);
                ("POST", url, Some(record.to_json(names, Target::NewRow)?))
            }
            Step::Upsert(record) => {
                let url = self.path(&["sobjects", object, field, record.external_id]);
                ("PATCH", url, Some(record.to_json(names, Target::Row)?))
            }
            Step::Update(known, record) => {
                let url = self.path(&["sobjects", object, &id(known)?]);
                ("PATCH", url, Some(record.to_json(names, Target::Row)?))
            }
            Step::Delete(known) => (
                "DELETE",
                self.path(&["sobjects", object, &id(known)?]),
                None,
            ),
        };
        let body = body
            .map(|body| format!(r#","body":{body}"#))
            .unwrap_or_default();
        let reference = reference(index);
        // The URL is percent-encoded, so it has nothing that JSON would escape.
        Ok(format!(
            r#"{{"method":"{method}","url":"{url}","referenceId":"{reference}"{body}}}"#
        ))
    }
}

#[derive(Deserialize)]
struct Answers {
    graphs: Vec<Graph>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Graph {
    #[serde(rename = "graphId")]
    id: String,
    #[serde(rename = "graphResponse")]
    nodes: Nodes,
    is_successful: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes {
    composite_response: Vec<Node>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    body: Box<RawValue>,
    reference_id: String,
}

impl Graph {
    /// `None` if the answer does not account for every step.
    fn result(&self, steps: &[Step<'_>], ours: &Names) -> Option<GraphResult> {
        if !self.is_successful {
            return Some(Err(self.culprit(steps.len(), ours)?));
        }
        let saved: Option<Vec<Saved>> = steps
            .iter()
            .enumerate()
            .map(|(index, step)| match step {
                // 204 without a body: the id is the one we sent.
                Step::Update(id, _) | Step::Delete(id) => {
                    self.node(index)?;
                    Some(Saved {
                        id: to_18(id)?,
                        created: None,
                    })
                }
                Step::Create(_) | Step::Upsert(_) => {
                    let outcome: Outcome =
                        serde_json::from_str(self.node(index)?.body.get()).ok()?;
                    outcome.result(ours)?.ok()
                }
            })
            .collect();
        saved.map(Ok)
    }

    /// The step that failed of itself. The others say that they were halted;
    /// all of them do when the graph was not run at all, which is what happens
    /// after more than 14 graphs of a call have failed.
    fn culprit(&self, steps: usize, ours: &Names) -> Option<GraphError> {
        let mut errors = (0..steps).filter_map(|step| {
            let entries = Entry::read(self.node(step)?.body.get().as_bytes())?;
            Some(GraphError {
                step,
                error: RecordError::of(entries, ours),
            })
        });
        let first = errors.next()?;
        if first.error.is_halted() {
            return Some(
                errors
                    .find(|other| !other.error.is_halted())
                    .unwrap_or(first),
            );
        }
        Some(first)
    }

    fn node(&self, index: usize) -> Option<&Node> {
        let reference = reference(index);
        self.nodes
            .composite_response
            .iter()
            .find(|node| node.reference_id == reference)
    }
}

/// Letters, digits and underscores only.
fn graph_id(index: usize) -> String {
    format!("g{index}")
}

fn reference(index: usize) -> String {
    format!("n{index}")
}
