#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    Page, Query, Retention,
    metrics::RedisMetrics,
    redis::{asking::Unanswered, names::Names, question::Question},
};
use fanwire_protocol::Target;
use prometheus::Registry;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::oneshot,
    task::JoinHandle,
};

/// The answer to a question.
const PAGE: &[u8] = b"*3\r\n$2\r\nep\r\n:7\r\n*0\r\n";

/// A task over a pipe, and the other end of the pipe.
struct Rig {
    questions: mpsc::Sender<Asking>,
    far: DuplexStream,
    asked: String,
    task: JoinHandle<String>,
}

impl Rig {
    async fn new() -> Self {
        let (near, far) = duplex(1024 * 1024);
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(MAX_IN_FLIGHT);
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, near, config).await.unwrap();
        let (questions, queue) = mpsc::channel(QUEUE);
        tokio::spawn(driver);
        let task = tokio::spawn(Histories::new(connection, Kind::Plain, queue).run());
        Self { questions, far, asked: String::new(), task }
    }

    async fn ask(&self) -> oneshot::Receiver<Result<Page, Unanswered>> {
        let metrics = Arc::new(RedisMetrics::register(&Registry::new()).unwrap());
        let query = Query { target: Target::Broadcast, since: None, limit: 9, reverse: false };
        let retention = Retention { size: 10, ttl: Duration::from_secs(60) };
        let (question, answered) = Question::new(&Names::new("fanwire", 0), query, retention, metrics, Arc::default());
        self.questions.send(question.into()).await.unwrap();
        answered
    }

    /// Waits until `command` was asked `count` times in all.
    async fn asked(&mut self, command: &str, count: usize) {
        while self.asked.matches(command).count() < count {
            let mut bytes = [0; 4096];
            let read = self.far.read(&mut bytes).await.unwrap();
            self.asked.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }
}

async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn questions_under_way_are_bounded_and_those_of_nobody_are_left_out() {
    let mut rig = Rig::new().await;
    let mut answers = Vec::new();
    for _ in 0..MAX_IN_FLIGHT + 3 {
        answers.push(rig.ask().await);
    }
    rig.asked("EVALSHA", MAX_IN_FLIGHT).await;
    settled().await;
    // Those that Redis works on keep their places, and those that wait for one lose them.
    let (first, last) = (answers.remove(0), answers.pop().unwrap());
    drop(answers);
    settled().await;
    rig.far.write_all(PAGE).await.unwrap();
    assert_eq!(first.await.unwrap().unwrap().newest.offset, 7);
    rig.asked("EVALSHA", MAX_IN_FLIGHT + 1).await;
    rig.far.write_all(&PAGE.repeat(MAX_IN_FLIGHT)).await.unwrap();
    assert_eq!(last.await.unwrap().unwrap().newest.offset, 7);
    settled().await;
    assert_eq!(rig.asked.matches("EVALSHA").count(), MAX_IN_FLIGHT + 1);
}

#[tokio::test]
async fn a_redis_without_the_script_is_given_it() {
    let mut rig = Rig::new().await;
    let answer = rig.ask().await;
    rig.asked("EVALSHA", 1).await;
    rig.far.write_all(b"-NOSCRIPT No matching script. Please use EVAL.\r\n").await.unwrap();
    rig.asked("EVAL\r\n", 1).await;
    rig.far.write_all(PAGE).await.unwrap();
    assert!(answer.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_no_question_open() {
    let mut rig = Rig::new().await;
    let answer = rig.ask().await;
    rig.asked("EVALSHA", 1).await;
    drop(rig.far);
    assert!(answer.await.is_err());
    assert!(rig.task.await.unwrap().contains("reading from Redis failed"));
    assert!(rig.questions.is_closed());
}

#[tokio::test]
async fn a_server_that_has_not_got_it_is_told_apart() {
    for refusal in ["MOVED 5421 127.0.0.1:7001", "TRYAGAIN Multiple keys", "CLUSTERDOWN The cluster is down"] {
        let mut rig = Rig::new().await;
        let answer = rig.ask().await;
        rig.asked("EVALSHA", 1).await;
        rig.far.write_all(format!("-{refusal}\r\n").as_bytes()).await.unwrap();
        assert_eq!(answer.await.unwrap().unwrap_err(), Unanswered::Elsewhere);
    }
}
