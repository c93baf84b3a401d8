// The token file: what is taken has names, sums and roles, whatever the YAML is.
#include <string>

#include "core/check.h"
#include "runtime/limits.h"
#include "runtime/security/token_file.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto entries = ParseTokenFile("tokens.yaml", bytes);
  if (!entries.ok()) {
    WEIR_CHECK(std::string(entries.status().message()).starts_with("tokens.yaml:"));
    return 0;
  }
  WEIR_CHECK(!entries->empty() && entries->size() <= limits::kTokensMax);
  for (const TokenEntry& entry : *entries) {
    WEIR_CHECK(!entry.name.empty() && entry.sha256.size() == 64 && !RoleName(entry.role).empty());
    WEIR_CHECK(entry.token.empty() || entry.token.size() >= limits::kTokenBytesMin);
  }
  return 0;
}
