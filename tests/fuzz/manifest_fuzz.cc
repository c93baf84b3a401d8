// A checkpoint's manifest, and the state of a subtask as an executor sends it: what is read can be
// written and read again, and asked for all that a restore asks for.
#include <string>

#include "core/check.h"
#include "state/checksummed_file.h"
#include "state/manifest.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  testing::FuzzInput input(data, size);
  const uint8_t what = input.Byte() % 3;
  const std::string bytes(input.Rest());
  if (what == 0) {
    const StatusOr<SubtaskState> state = SubtaskState::Parse(bytes);
    if (!state.ok()) return 0;
    const std::string written = state->Serialize();
    const StatusOr<SubtaskState> again = SubtaskState::Parse(written);
    WEIR_CHECK(again.ok() && again->Serialize() == written);
    return 0;
  }
  // As it lies on the disk, or what the checksum holds, which chance does not make.
  const StatusOr<Manifest> manifest =
      Manifest::Parse(what == 1 ? bytes : WrapWithChecksum(bytes), "manifest.pb");
  if (!manifest.ok()) return 0;
  const std::string written = manifest->Serialize();
  const StatusOr<Manifest> again = Manifest::Parse(written, "manifest.pb");
  WEIR_CHECK(again.ok() && again->Serialize() == written);
  manifest->Contents();
  for (const StageState& stage : manifest->stages) {
    WEIR_CHECK(manifest->FindStage(stage.name) != nullptr);
    OperatorSnapshotsFor(stage, {});
    KeyedSnapshotsFor(stage, {});
  }
  return 0;
}
