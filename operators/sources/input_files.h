// The files that a file source reads: which there are, and whether they are still the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/environment.h"
#include "operators/sources/byte_stream.h"

namespace weir {

struct InputFile {
  std::string path;
  std::string name;  // relative to the input folder; of a single file its own
  Compression compression = Compression::kNone;
  uint64_t size = 0;
  Timestamp modified = 0;
};

// `input` itself if it is a file, whatever its name; of a folder all files below it that end in
// .jsonl, .jsonl.gz or .jsonl.zst, sorted by name, without those whose name or folder starts with a
// dot. NotFound says that there is no such file or folder, or none in it; other errors are the
// disk's.
StatusOr<std::vector<InputFile>> FindInputFiles(Disk& disk, const std::string& input);
// The same of a folder that is watched: it may be empty, and files may go while they are looked
// for. FailedPrecondition if it is a file.
StatusOr<std::vector<InputFile>> FindFilesToWatch(Disk& disk, const std::string& folder);

// Where those files are: each folder that is looked through, and each file, canonical. Of an input
// that is a file only that file.
Status FindInputPaths(Disk& disk, const std::string& input, bool watched,
                      std::vector<std::string>& folders, std::vector<std::string>& files);

// Of the first 4 KiB.
StatusOr<uint64_t> HashOfHead(Disk& disk, const InputFile& file);

// FailedPrecondition if the file no longer has the size and the time of modification that it had
// when a job began to read it; the message names it and says what to do.
Status CheckUnchanged(Disk& disk, const InputFile& file);
Status FileHasChanged(const std::string& path, const std::string& how);

}  // namespace weir
