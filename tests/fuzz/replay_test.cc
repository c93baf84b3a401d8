// Gives every fuzz target the inputs of its corpus: what was found once is not forgotten. The
// fuzzers themselves are built and run by scripts/fuzz.sh.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

// WEIR_FUZZ_TARGETS is the list of them, WEIR_FUZZ_TARGET(codec) ... (CMakeLists.txt).
using Target = int(const uint8_t*, size_t);
extern "C" {
#define WEIR_FUZZ_TARGET(name) Target Fuzz_##name;
WEIR_FUZZ_TARGETS
#undef WEIR_FUZZ_TARGET
}

namespace {

struct Named {
  const char* name;
  Target* run;
};

class CorpusTest : public ::testing::TestWithParam<Named> {};

TEST_P(CorpusTest, Passes) {
  int inputs = 0;
  const std::filesystem::path folder = std::string(WEIR_FUZZ_CORPUS) + "/" + GetParam().name;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(file.path());
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(in), {});
    EXPECT_EQ(GetParam().run(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), 0);
    ++inputs;
  }
  EXPECT_GE(inputs, 5) << "the corpus of " << GetParam().name << " is gone";
}

constexpr Named kTargets[] = {
#define WEIR_FUZZ_TARGET(name) {#name, Fuzz_##name},
    WEIR_FUZZ_TARGETS
#undef WEIR_FUZZ_TARGET
};

INSTANTIATE_TEST_SUITE_P(Fuzz, CorpusTest, ::testing::ValuesIn(kTargets),
                         [](const auto& named) { return std::string(named.param.name); });

}  // namespace
