// SimExecutorPool: an ExecutorPool of simulated processes, as ExecutorProcesses is one of real
// ones, but on other machines: nobody can tell that an executor is gone whose connection is. So
// those of an old attempt may live on for a while, and go on with what they were doing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/executor_pool.h"
#include "tests/simulation/cluster.h"

namespace weir::simulation {

class SimExecutorPool final : public ExecutorPool {
 public:
  SimExecutorPool(Cluster& cluster, SimProcess& coordinator, std::string job_id, Events events);
  ~SimExecutorPool() override;

  void Start(uint32_t attempt, int executors) override;
  // In place of Start(): those of an attempt that another coordinator has started come back, or
  // count as lost.
  void Await(uint32_t attempt, int executors);
  void Send(int executor, const runtime::ToExecutor& message) override;
  void AskProgress() override;

 private:
  struct Member {
    std::shared_ptr<SimConnection> connection;  // of which the coordinator is end 0
    SimExecutor* executor = nullptr;            // what it was started as, or has come back as
    std::string address;                        // empty: has not said Hello
    bool canceled = false;
    bool over = false;
    int64_t deadline = 0;  // of what it is to do next; 0: none
  };

  void Launch(uint32_t attempt, int executor);
  SimExecutor::Coordinator Accept(SimExecutor& executor);
  void OnHello(SimExecutor& executor, const std::shared_ptr<SimConnection>& connection);
  void OnMessage(uint32_t attempt, int executor, const std::string& bytes);
  void OnClosed(const SimExecutor& executor, const SimConnection* connection, const Status& why);
  void End(int executor, const Status& why, bool by_itself);
  // Of an attempt that is over, or of a member that is: it may take its time.
  void Fence(Member& member);

  Cluster& cluster_;
  SimProcess& process_;
  const std::string job_id_;
  const Events events_;
  uint32_t attempt_ = 0;
  std::vector<Member> members_;
  // What is on the way when this is gone does nothing.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::simulation
