//! The connection that all clones of a queue share.
//!
//! redis-rs' `ConnectionManager` connects anew when a connection breaks, but
//! not when an answer stays away. One that is dead without a word, as behind a
//! proxy that lost its other side, would then be asked for ever: the kernel
//! sees each request acknowledged. So a connection that owes an answer is left
//! behind for a fresh one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{
    Client, Cmd, Pipeline, RedisError, RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};

/// A connection that is there again after whatever happened to it.
#[derive(Clone)]
pub(super) struct Link {
    client: Client,
    config: ConnectionManagerConfig,
    current: Arc<Mutex<Current>>,
}

struct Current {
    manager: ConnectionManager,
    /// How many were left behind.
    generation: u64,
}

impl Link {
    pub(super) async fn open(
        client: Client,
        config: ConnectionManagerConfig,
    ) -> Result<Self, RedisError> {
        let manager = ConnectionManager::new_with_config(client.clone(), config.clone()).await?;
        Ok(Self {
            client,
            config,
            current: Arc::new(Mutex::new(Current {
                manager,
                generation: 0,
            })),
        })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // What is in it is whole at any moment, also when a thread panicked.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> (ConnectionManager, u64) {
        let current = self.current();
        (current.manager.clone(), current.generation)
    }

    /// Many requests may have waited for the same connection in vain; only the
    /// first of them leaves it behind.
    fn leave_behind(&self, generation: u64) {
        let mut current = self.current();
        if current.generation != generation {
            return;
        }
        let fresh =
            ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone());
        if let Ok(fresh) = fresh {
            current.manager = fresh;
            current.generation += 1;
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (mut manager, generation) = self.take();
            let answer = manager.req_packed_command(cmd).await;
            if answer.as_ref().is_err_and(RedisError::is_timeout) {
                self.leave_behind(generation);
            }
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (mut manager, generation) = self.take();
            let answers = manager.req_packed_commands(pipeline, offset, count).await;
            if answers.as_ref().is_err_and(RedisError::is_timeout) {
                self.leave_behind(generation);
            }
            answers
        })
    }

    fn get_db(&self) -> i64 {
        self.current().manager.get_db()
    }
}
