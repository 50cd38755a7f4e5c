#include "tools/train/device_checkpoint.h"

#include <set>
#include <string>

#include "tools/train/finite_state.h"

namespace pairedhead {
namespace {

// Makes the groups that lie on the way to an object, once each.
class Groups {
 public:
  explicit Groups(hdf5::Writer& file) : file_(file) {}

  void make_for(const std::string& object) {
    for (auto end = object.find('/'); end != std::string::npos; end = object.find('/', end + 1)) {
      const std::string group = object.substr(0, end);
      if (made_.insert(group).second) file_.group(group);
    }
  }

 private:
  hdf5::Writer& file_;
  std::set<std::string> made_;
};

std::vector<std::byte> room_for(const gpu::StateTensor& tensor) {
  return std::vector<std::byte>(static_cast<std::size_t>(element_count(tensor.shape)) *
                                size_of(tensor.dtype));
}

}  // namespace

void write_device_checkpoint(const std::filesystem::path& path, const RunWords& words,
                             const gpu::TrainerProgress& progress,
                             const reference::BatchPosition& position,
                             const std::vector<gpu::StateTensor>& tensors,
                             const TensorDownload& download) {
  hdf5::Writer file(path, hdf5::Compression::none);
  write_header(file, words,
               {progress.step,
                progress.split,
                progress.long_blocks,
                position,
                {progress.frequency, progress.softmax_scale}});
  Groups groups(file);
  for (const gpu::StateTensor& tensor : tensors) {
    std::vector<std::byte> elements = room_for(tensor);
    download(tensor, elements.data());
    require_finite(progress.step, tensor.name, tensor.dtype, tensor.shape, elements.data());
    groups.make_for(tensor.name);
    file.bits(tensor.name, tensor.dtype, tensor.shape, elements.data());
  }
  for (const auto& [name, updates] : progress.updates) {
    file.attribute("adam/" + name, "updates", static_cast<std::uint64_t>(updates));
  }
  file.commit();
}

DeviceCheckpoint read_device_checkpoint(const std::filesystem::path& path, const RunWords& words,
                                        Index head_dim,
                                        const std::vector<gpu::StateTensor>& tensors,
                                        const TensorUpload& upload) {
  const hdf5::Reader file(path);
  CheckpointHeader header = read_header(file, words, head_dim);
  DeviceCheckpoint checkpoint;
  checkpoint.position = header.position;
  checkpoint.progress = {.step = header.step,
                         .frequency = std::move(header.rotary.frequency),
                         .softmax_scale = header.rotary.softmax_scale,
                         .long_blocks = header.long_blocks,
                         .split = header.split,
                         .updates = {}};
  for (const gpu::StateTensor& tensor : tensors) {
    std::vector<std::byte> elements = room_for(tensor);
    file.bits(tensor.name, tensor.dtype, tensor.shape, elements.data());
    upload(tensor, elements.data());
  }
  for (const std::string& name : file.members("adam")) {
    if (!file.has_attribute("adam/" + name, "updates")) continue;
    checkpoint.progress.updates[name] = index_attribute(file, "adam/" + name, "updates");
  }
  return checkpoint;
}

}  // namespace pairedhead
