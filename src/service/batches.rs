//! Gathers what many ask for at once: what came while one batch was answered is the next, and each
//! who asked gets an answer of its own. A lone question is a batch of one and waits for nobody.
//!
//! To batch a use case: its [`Batches`] in `Service`, its worker and what answers a batch in
//! `workers.rs`.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::{JoinSet, yield_now},
    time::{Duration, Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Error, Result};

/// Where questions wait for the next batch. Whoever asks waits for the answer, so those who ask
/// bound the queue: requests and connections have their limits at the doors.
pub(super) struct Batches<Q, A> {
    queue: mpsc::UnboundedSender<Asked<Q, A>>,
}

/// Answers what waits there.
pub(super) struct BatchWorker<Q, A> {
    queue: Mutex<mpsc::UnboundedReceiver<Asked<Q, A>>>,
    batch_max: usize,
    linger_max: Duration,
    /// Questions of the batch that was answered last.
    answered_last: AtomicUsize,
}

struct Asked<Q, A> {
    question: Q,
    answer: oneshot::Sender<Result<A>>,
}

/// A queue, and the worker of its batches of at most `batch_max` questions.
pub(super) fn batches<Q, A>(batch_max: usize) -> (Batches<Q, A>, BatchWorker<Q, A>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let worker = BatchWorker {
        queue: Mutex::new(receiver),
        batch_max,
        linger_max: Duration::ZERO,
        answered_last: AtomicUsize::new(0),
    };
    (Batches { queue: sender }, worker)
}

impl<Q, A> Batches<Q, A> {
    /// Waits for the answer, or for the error that the whole batch met. A question whose asker
    /// has gone before its batch began is dropped; later its answer is.
    pub async fn ask(&self, question: Q) -> Result<A> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { question, answer };
        self.queue.send(asked).map_err(|_| Error::Unanswered)?;
        answered.await.map_err(|_| Error::Unanswered)?
    }
}

impl<Q: Send + 'static, A: Send + 'static> BatchWorker<Q, A> {
    /// Who was answered with others often asks again with them: a batch waits so long until it is as
    /// large as the one before. For batches whose cost is more their number than their size.
    pub fn lingering(mut self, linger_max: Duration) -> Self {
        self.linger_max = linger_max;
        self
    }

    /// Answers until `shutdown` and then what was asked before, with so many batches at once.
    /// `answer` gives as many answers as there are questions, in their order.
    pub async fn run<F>(
        self,
        batches_max: usize,
        shutdown: CancellationToken,
        answer: impl Fn(Vec<Q>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Vec<A>>> + Send,
    {
        let (worker, answer) = (Arc::new(self), Arc::new(answer));
        let mut running = JoinSet::new();
        for _ in 0..batches_max {
            let (worker, shutdown, answer) = (worker.clone(), shutdown.clone(), answer.clone());
            running.spawn(async move {
                while let Some(batch) = worker.gather(&shutdown).await {
                    let questions = batch.len();
                    answer_batch(batch, &*answer).await;
                    worker.answered_last.store(questions, Ordering::Relaxed);
                }
            });
        }
        running.join_all().await;
    }

    /// What has gathered; `None` at the end.
    async fn gather(&self, shutdown: &CancellationToken) -> Option<Vec<Asked<Q, A>>> {
        let mut batch = Vec::new();
        let mut queue = self.queue.lock().await;
        let gathered = tokio::select! {
            biased;
            gathered = queue.recv_many(&mut batch, self.batch_max) => gathered,
            () = shutdown.cancelled() => 0,
        };
        if gathered == 0 {
            return None;
        }
        // Who is about to ask does so first: one question wakes the worker before the others are put.
        yield_now().await;
        while batch.len() < self.batch_max
            && let Ok(asked) = queue.try_recv()
        {
            batch.push(asked);
        }
        if self.linger_max.is_zero() {
            return Some(batch);
        }
        let expected = self.answered_last.load(Ordering::Relaxed);
        let until = Instant::now() + self.linger_max;
        while batch.len() < expected.min(self.batch_max) {
            let room = self.batch_max - batch.len();
            let more = timeout_at(until, queue.recv_many(&mut batch, room)).await;
            if !matches!(more, Ok(1..)) {
                break;
            }
        }
        Some(batch)
    }
}

async fn answer_batch<Q, A, F>(mut batch: Vec<Asked<Q, A>>, answer: &impl Fn(Vec<Q>) -> F)
where
    F: Future<Output = Result<Vec<A>>>,
{
    batch.retain(|asked| !asked.answer.is_closed());
    if batch.is_empty() {
        return;
    }
    let (questions, askers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|asked| (asked.question, asked.answer))
        .unzip();
    // A panic is this batch's alone, as a request's is: the log has it, and nobody gets an answer.
    let Ok(answered) = AssertUnwindSafe(async { answer(questions).await })
        .catch_unwind()
        .await
    else {
        return;
    };
    // Whoever asked may have gone meanwhile.
    match answered {
        Ok(answers) => {
            debug_assert_eq!(answers.len(), askers.len());
            for (asker, answer) in askers.into_iter().zip(answers) {
                let _ = asker.send(Ok(answer));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for asker in askers {
                let _ = asker.send(Err(Error::Batch(error.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::{Barrier, Semaphore};

    use super::*;

    /// Asks for each of these, in their order, before any is answered.
    fn ask_all(
        batches: &Arc<Batches<u32, u32>>,
        questions: impl IntoIterator<Item = u32>,
    ) -> Vec<oneshot::Receiver<Result<u32>>> {
        questions
            .into_iter()
            .map(|question| {
                let (answer, answered) = oneshot::channel();
                let sent = batches.queue.send(Asked { question, answer });
                sent.expect("the worker lives");
                answered
            })
            .collect()
    }

    /// Keeps the batches it was given, and answers each question with its double.
    #[derive(Clone, Default)]
    struct Doubling(Arc<std::sync::Mutex<Vec<Vec<u32>>>>);

    impl Doubling {
        async fn answer(self, questions: Vec<u32>) -> Result<Vec<u32>> {
            self.0.lock().unwrap().push(questions.clone());
            Ok(questions.iter().map(|it| it * 2).collect())
        }

        fn batches(&self) -> Vec<Vec<u32>> {
            self.0.lock().unwrap().clone()
        }
    }

    /// Runs until everything asked so far is answered.
    async fn run_out<F>(
        worker: BatchWorker<u32, u32>,
        batches_max: usize,
        answer: impl Fn(Vec<u32>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Vec<u32>>> + Send,
    {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        worker.run(batches_max, shutdown, answer).await;
    }

    #[tokio::test]
    async fn what_waits_is_answered_in_batches_of_the_greatest_size() {
        let (batches, worker) = batches(3);
        let answers = ask_all(&Arc::new(batches), 1..=7);
        let doubling = Doubling::default();
        let answer = doubling.clone();
        run_out(worker, 1, move |it| answer.clone().answer(it)).await;
        let expected = vec![vec![1, 2, 3], vec![4, 5, 6], vec![7]];
        assert_eq!(doubling.batches(), expected);
        for (answer, question) in answers.into_iter().zip(1..) {
            assert_eq!(answer.await.unwrap().unwrap(), question * 2);
        }
    }

    #[tokio::test]
    async fn a_question_whose_asker_has_gone_is_not_answered() {
        let (batches, worker) = batches(8);
        let mut answers = ask_all(&Arc::new(batches), [1, 2, 3]);
        drop(answers.remove(1));
        let doubling = Doubling::default();
        let answer = doubling.clone();
        run_out(worker, 1, move |it| answer.clone().answer(it)).await;
        assert_eq!(doubling.batches(), [[1, 3]]);
    }

    #[tokio::test]
    async fn a_batch_that_fails_tells_everyone_and_the_next_is_answered() {
        let (batches, worker) = batches(2);
        let answers = ask_all(&Arc::new(batches), 1..=4);
        run_out(worker, 1, |questions| async move {
            match questions.contains(&1) {
                true => Err(Error::conflict("no", "not these")),
                false => Ok(questions),
            }
        })
        .await;
        let answers: Vec<_> = join_all(answers).await.into_iter().flatten().collect();
        for failed in &answers[..2] {
            let error = failed.as_ref().unwrap_err();
            assert_eq!(error.to_string(), "not these");
            assert_eq!(error.trouble(), super::super::Trouble::Conflict("no"));
        }
        assert!(matches!(answers[2..], [Ok(3), Ok(4)]));
    }

    #[tokio::test]
    async fn a_batch_that_panics_takes_no_other_with_it() {
        let (batches, worker) = batches(1);
        let mut answers = ask_all(&Arc::new(batches), [1, 2]);
        run_out(worker, 1, |questions| async move {
            assert_ne!(questions, [1], "as a bug would");
            Ok(questions)
        })
        .await;
        assert_eq!(answers.pop().unwrap().await.unwrap().unwrap(), 2);
        assert!(answers.pop().unwrap().await.is_err());
    }

    #[tokio::test]
    async fn those_who_were_answered_together_are_awaited_together_and_a_lone_one_is_not() {
        let (batches, worker) = batches(8);
        let (batches, shutdown) = (Arc::new(batches), CancellationToken::new());
        let doubling = Doubling::default();
        let answer = doubling.clone();
        let worker = worker.lingering(Duration::from_secs(3600));
        let running = worker.run(1, shutdown.clone(), move |it| answer.clone().answer(it));
        let running = tokio::spawn(running);
        batches.ask(1).await.unwrap();
        batches.ask(2).await.unwrap();
        join_all(ask_all(&batches, [3, 4])).await;
        let first = ask_all(&batches, [5]);
        tokio::task::yield_now().await;
        assert_eq!(doubling.batches().len(), 3, "the fourth waits");
        let second = ask_all(&batches, [6]);
        join_all(first.into_iter().chain(second)).await;
        let expected = vec![vec![1], vec![2], vec![3, 4], vec![5, 6]];
        assert_eq!(doubling.batches(), expected);
        shutdown.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn so_many_batches_are_answered_at_once() {
        let (batches, worker) = batches(1);
        let answers = ask_all(&Arc::new(batches), [1, 2, 3]);
        let all_at_once = Arc::new(Barrier::new(3));
        run_out(worker, 3, move |questions| {
            let all_at_once = all_at_once.clone();
            async move {
                all_at_once.wait().await;
                Ok(questions)
            }
        })
        .await;
        assert_eq!(join_all(answers).await.len(), 3);
    }

    #[tokio::test]
    async fn at_the_end_a_batch_that_has_begun_is_answered() {
        let (batches, worker) = batches(8);
        let shutdown = CancellationToken::new();
        let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let gates = (begun.clone(), go_on.clone());
        let running = tokio::spawn(worker.run(1, shutdown.clone(), move |questions| {
            let (begun, go_on) = gates.clone();
            async move {
                begun.add_permits(1);
                go_on.acquire().await.unwrap().forget();
                Ok(questions)
            }
        }));
        let asked = tokio::spawn(async move {
            let answer = batches.ask(7).await;
            (batches, answer)
        });
        begun.acquire().await.unwrap().forget();
        shutdown.cancel();
        go_on.add_permits(1);
        let (batches, answer) = asked.await.unwrap();
        assert_eq!(answer.unwrap(), 7);
        running.await.unwrap();
        assert!(matches!(batches.ask(8).await, Err(Error::Unanswered)));
    }
}
