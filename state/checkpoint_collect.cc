// What keeps checkpoints and what removes them: leases and the garbage collection of
// CheckpointStore.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/codec.h"
#include "state/checkpoint_store.h"
#include "state/checksummed_file.h"

namespace weir {
namespace {

// A writer that is still at it after this long is dead, whether or not its attempt is known to be
// over.
constexpr Duration kLeftoverAge = Hours(24);

std::string EncodeLease(Timestamp expires, std::string_view holder) {
  std::string content;
  PutSigned(expires, content);
  PutBytes(holder, content);
  return WrapWithChecksum(content);
}

// One that cannot be read counts as held: better a checkpoint too many.
Timestamp ExpiryOf(std::string_view bytes, const std::string& where) {
  StatusOr<std::string> content = UnwrapChecked(bytes, where);
  Timestamp expires;
  if (!content.ok() || !ByteReader(*content).Signed(expires)) return kMaxTimestamp;
  return expires;
}

}  // namespace

Status CheckpointStore::Lease(CheckpointId checkpoint, std::string_view holder, Duration length) {
  const std::string name = fmt::format("{}/leases/chk-{}.{}", options_.job_id, checkpoint, holder);
  // Nothing is collected between the look at the manifest and the lease.
  std::lock_guard collect_lock(collect_mutex_);
  if (length <= 0) return objects_.Delete({&name, 1});
  WEIR_RETURN_IF_ERROR(LoadManifest(checkpoint).status());
  return objects_.Put(name, EncodeLease(env_.clock.Now() + length, holder));
}

// Those that are leased. Leases that have expired are removed.
StatusOr<std::set<CheckpointId>> CheckpointStore::CollectLeases() {
  const std::string prefix = options_.job_id + "/leases/chk-";
  WEIR_ASSIGN_OR_RETURN(std::vector<ObjectInfo> objects, objects_.List(prefix));
  std::set<CheckpointId> leased;
  std::vector<std::string> expired;
  for (const ObjectInfo& object : objects) {
    CheckpointId checkpoint = 0;
    const char* end = object.name.data() + object.name.size();
    auto [rest, error] = std::from_chars(object.name.data() + prefix.size(), end, checkpoint);
    if (error != std::errc() || rest == end || *rest != '.') continue;
    StatusOr<std::string> bytes = objects_.Get(object.name);
    if (absl::IsNotFound(bytes.status())) continue;  // given back just now
    WEIR_RETURN_IF_ERROR(bytes.status());
    if (ExpiryOf(*bytes, objects_.Location(object.name)) <= env_.clock.Now()) {
      expired.push_back(object.name);
    } else {
      leased.insert(checkpoint);
    }
  }
  WEIR_RETURN_IF_ERROR(objects_.Delete(expired));
  return leased;
}

Status CheckpointStore::CollectManifests(const Wanted& wanted, Collected& collected) {
  WEIR_ASSIGN_OR_RETURN(std::vector<CheckpointId> checkpoints, List());
  WEIR_ASSIGN_OR_RETURN(std::set<CheckpointId> kept, CollectLeases());
  {
    std::lock_guard lock(mutex_);
    if (last_good_) kept.insert(*last_good_);
    kept.insert(unsettled_.begin(), unsettled_.end());
    // Of a checkpoint that was read by somebody while it was removed here.
    std::erase_if(contents_, [&](const auto& entry) {
      return !checkpoints.empty() && entry.first < checkpoints.back() &&
             !std::binary_search(checkpoints.begin(), checkpoints.end(), entry.first);
    });
  }

  std::vector<std::string> manifests;
  int readable = 0;
  for (auto at = checkpoints.rbegin(); at != checkpoints.rend(); ++at) {
    const bool enough = readable >= options_.retained || (wanted && !wanted(*at));
    if (enough && !kept.contains(*at)) {
      collected.checkpoints.push_back(*at);
      manifests.push_back(ManifestName(*at));
      continue;
    }
    bool known;
    {
      std::lock_guard lock(mutex_);
      known = contents_.contains(*at);
    }
    if (!known) {
      // One that is broken does not count: the next older one may be needed in its place.
      if (Status status = LoadManifest(*at).status(); !status.ok()) {
        collected.files_kept = status;
        continue;
      }
    }
    ++readable;
  }

  // Manifests go first, and durably: whatever happens next, no manifest lists a file that is gone.
  WEIR_RETURN_IF_ERROR(objects_.Delete(manifests));
  for (CheckpointId checkpoint : collected.checkpoints) {
    WEIR_RETURN_IF_ERROR(
        objects_.DeletePrefix(fmt::format("{}/chk-{}/", options_.job_id, checkpoint)));
    std::lock_guard lock(mutex_);
    contents_.erase(checkpoint);
  }
  return absl::OkStatus();
}

Status CheckpointStore::CollectFiles(Collected& collected) {
  WEIR_ASSIGN_OR_RETURN(std::vector<ObjectInfo> objects, objects_.List(files_prefix_));
  std::vector<std::string> names;
  {
    std::lock_guard lock(mutex_);
    // With those of checkpoints that were completed since the manifests were listed.
    std::set<std::string_view> listed;
    for (const auto& [checkpoint, contents] : contents_) {
      listed.insert(contents.begin(), contents.end());
    }
    for (const ObjectInfo& object : objects) {
      std::string content = object.name.substr(files_prefix_.size());
      if (listed.contains(content) || uploads_.contains(content)) continue;
      names.push_back(object.name);
      being_deleted_.insert(std::move(content));
      collected.bytes += object.bytes;
    }
    std::erase_if(hashed_, [&](const auto& hashed) {
      const std::string& content = hashed.second.content;
      return !last_good_contents_.contains(content) && !uploads_.contains(content);
    });
  }
  Status status = objects_.Delete(names);
  {
    std::lock_guard lock(mutex_);
    being_deleted_.clear();
  }
  deleted_.notify_all();
  collected.files = names.size();
  return status;
}

StatusOr<CheckpointStore::Collected> CheckpointStore::CollectGarbage(const Wanted& wanted,
                                                                     uint32_t attempts_over) {
  std::lock_guard collect_lock(collect_mutex_);
  Collected collected;
  WEIR_RETURN_IF_ERROR(CollectManifests(wanted, collected));
  if (collected.files_kept.ok()) WEIR_RETURN_IF_ERROR(CollectFiles(collected));
  WEIR_RETURN_IF_ERROR(
      objects_.RemoveLeftovers(env_.clock.Now() - kLeftoverAge, {options_.job_id, attempts_over}));
  return collected;
}

}  // namespace weir
