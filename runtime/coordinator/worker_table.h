// WorkerTable: the workers that a coordinator knows, and which of their slots are taken. Pure.
//
// A subtask takes a slot, in each part of its job. What is placed is spread: each subtask goes,
// with all its parts, to the worker that then has the most free slots. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace weir {

struct WorkerInfo {
  std::string id;
  std::string host;  // as the coordinator sees it, and so where its executors' peers reach them
  std::string http;
  int slots = 0;
  uint64_t memory_bytes = 0;
  uint64_t session = 0;  // the connection
  bool leaving = false;
  int64_t heard_at = 0;  // Clock::MonotonicMicros()
};

class WorkerTable {
 public:
  struct Share {
    std::string worker;
    int subtasks = 0;
  };

  void Add(WorkerInfo worker);
  void Remove(const std::string& id);
  WorkerInfo* Find(const std::string& id);  // null: it is not there
  const std::map<std::string, WorkerInfo>& workers() const { return workers_; }

  int FreeSlots(const std::string& id) const;
  // An executor of each of the workers that are to run `subtasks` of every part, in the order of
  // their ids; empty where there are not that many free slots. Nothing is taken yet.
  std::vector<Share> Place(int subtasks, int parts = 1) const;
  void Take(const Share& share) { taken_[share.worker] += share.subtasks; }
  void Release(const Share& share);

 private:
  std::map<std::string, WorkerInfo> workers_;
  std::map<std::string, int> taken_;  // slots, by worker; also of workers that are gone
};

}  // namespace weir
