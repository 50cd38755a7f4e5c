#pragma once

#include "gpu/comm/communicator.h"
#include "gpu/comm/nccl_library.h"
#include "gpu/comm/rank_meeting.h"

namespace pairedhead::gpu {

// Processes with a device each, which is selected before one of these is made: device memory
// travels through NCCL, host bytes through the meeting.
class NcclCommunicator final : public Communicator {
 public:
  // Returns when all ranks have come. Throws what RankMeeting and NcclLibrary::load throw.
  NcclCommunicator(const RankEnvironment& environment, RankMeeting::Seconds patience);
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override { return meeting_.rank(); }
  int size() const override { return meeting_.size(); }
  void exchange(std::span<const Message> sent, std::span<const Message> received,
                cudaStream_t stream) override;
  void wait(cudaStream_t stream) override;
  std::vector<std::byte> gather(std::span<const std::byte> mine) override;

 private:
  template <class Function>
  auto or_abort(const Function& function);
  void check_transfers();

  RankMeeting meeting_;
  const NcclLibrary& nccl_;
  NcclLibrary::Comm comm_ = nullptr;
};

}  // namespace pairedhead::gpu
