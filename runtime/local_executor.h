// LocalExecutor: an ExecutorPool of one executor, in this process.
#pragma once

#include "core/environment.h"
#include "jobs/built_job.h"
#include "runtime/event_loop.h"
#include "runtime/executor_pool.h"
#include "runtime/worker/executor.h"
#include "state/checkpoint_store.h"

namespace weir {

class LocalExecutor final : public ExecutorPool {
 public:
  // As Executor has them.
  LocalExecutor(const BuiltJob& job, CheckpointStore& store, Environment& env, EventLoop& loop,
                Executor::Options options, Events events);

  void Start(uint32_t attempt, int executors) override;
  void Send(int executor, const runtime::ToExecutor& message) override;
  void AskProgress() override { executor_.SendProgress(); }

 private:
  EventLoop& loop_;
  const Events events_;
  Executor executor_;
};

}  // namespace weir
