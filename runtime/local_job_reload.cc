// LocalJob: what it does about reloadable resources.
#include <utility>

#include "runtime/local_job.h"

namespace weir {

// The identity of a run, to be compared with this one's. What may change while a run goes on may as
// well have changed while it lay still; a finished run was what it was.
JobIdentity LocalJob::Comparable(const JobRecord& record) const {
  JobIdentity identity = record.identity;
  if (!record.unfinished()) return identity;
  for (const auto& [stage, content] : start_.resources) {
    const auto was = identity.resources.find(content.resource);
    const auto is = options_.identity.resources.find(content.resource);
    if (was != identity.resources.end() && is != options_.identity.resources.end()) {
      was->second = is->second;
    }
  }
  return identity;
}

bool LocalJob::RequestReload() {
  if (watcher_.empty()) return false;
  loop_.Post([this] { LookAtResources(true); });
  return true;
}

void LocalJob::LookAtResources(bool at_once) {
  next_look_ = env_.clock.MonotonicMicros() + limits::kReloadPollInterval;
  if (looking_) {
    look_again_ |= at_once;
    return;
  }
  looking_ = true;
  io_.Submit([this, at_once] {
    loop_.Post([this, at_once, changes = watcher_.Look(at_once)] {
      looking_ = false;
      OnResourceChanges(changes, at_once);
      if (std::exchange(look_again_, false)) LookAtResources(true);
    });
  });
}

void LocalJob::OnResourceChanges(const std::vector<ResourceWatcher::Change>& changes,
                                 bool at_once) {
  std::map<std::string, std::string> contents;
  for (const ResourceWatcher::Change& change : changes) {
    if (!change.status.ok()) {
      master_->OnReloadRefused(change.stages, change.status);
      continue;
    }
    for (const std::string& stage : change.stages) contents[stage] = change.bytes;
  }
  if (contents.empty()) return;
  const bool news = master_->Reload(contents, env_.clock.MonotonicMicros());
  if (at_once && !news) Log("a reload was asked for, and nothing has changed");
}

}  // namespace weir
