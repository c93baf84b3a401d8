#include "runtime/coordinator/worker_table.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace weir {

void WorkerTable::Add(WorkerInfo worker) {
  std::string id = worker.id;
  workers_[std::move(id)] = std::move(worker);
}

void WorkerTable::Remove(const std::string& id) { workers_.erase(id); }

WorkerInfo* WorkerTable::Find(const std::string& id) {
  const auto found = workers_.find(id);
  return found == workers_.end() ? nullptr : &found->second;
}

int WorkerTable::FreeSlots(const std::string& id) const {
  const auto worker = workers_.find(id);
  if (worker == workers_.end() || worker->second.leaving) return 0;
  const auto taken = taken_.find(id);
  return std::max(0, worker->second.slots - (taken == taken_.end() ? 0 : taken->second));
}

std::vector<WorkerTable::Share> WorkerTable::Place(int subtasks, int parts) const {
  struct Candidate {
    Share share;
    int free;
  };
  std::vector<Candidate> candidates;
  for (const auto& [id, worker] : workers_) candidates.push_back({{id, 0}, FreeSlots(id)});
  for (int i = 0; i < subtasks; ++i) {
    const auto best =
        std::max_element(candidates.begin(), candidates.end(),
                         [](const Candidate& a, const Candidate& b) { return a.free < b.free; });
    if (best == candidates.end() || best->free < parts) return {};
    ++best->share.subtasks;
    best->free -= parts;
  }
  std::vector<Share> shares;
  for (Candidate& candidate : candidates) {
    if (candidate.share.subtasks > 0) shares.push_back(std::move(candidate.share));
  }
  return shares;
}

void WorkerTable::Release(const Share& share) {
  const auto taken = taken_.find(share.worker);
  WEIR_CHECK(taken != taken_.end() && taken->second >= share.subtasks);
  taken->second -= share.subtasks;
  if (taken->second == 0) taken_.erase(taken);
}

}  // namespace weir
