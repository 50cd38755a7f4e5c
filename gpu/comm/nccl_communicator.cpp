#include "gpu/comm/nccl_communicator.h"

#include <thread>
#include <utility>

#include "reference/error.h"

namespace pairedhead::gpu {
namespace {

// How often a waiting host looks: at the stream, and, more rarely, whether the others are there.
constexpr auto between_looks = std::chrono::microseconds(50);
constexpr int looks_between_checks = 2000;

}  // namespace

NcclCommunicator::NcclCommunicator(const RankEnvironment& environment,
                                   RankMeeting::Seconds patience)
    : meeting_(environment, patience), nccl_(NcclLibrary::load()) {
  NcclLibrary::UniqueId id = {};
  if (rank() == 0) nccl_.check(nccl_.get_unique_id(&id), "ncclGetUniqueId");
  // Everybody's, of which rank 0's comes first.
  const std::vector<std::byte> ids = gather(std::as_bytes(std::span(id.bytes)));
  std::memcpy(id.bytes.data(), ids.data(), id.bytes.size());
  nccl_.check(nccl_.comm_init_rank(&comm_, size(), id, rank()), "ncclCommInitRank");
}

NcclCommunicator::~NcclCommunicator() {
  if (comm_ != nullptr) nccl_.comm_destroy(comm_);
}

// Whatever fails, no transfer may be waited for any more: it might never end.
template <class Function>
auto NcclCommunicator::or_abort(const Function& function) {
  try {
    return function();
  } catch (...) {
    if (comm_ != nullptr) nccl_.comm_abort(std::exchange(comm_, nullptr));
    throw;
  }
}

void NcclCommunicator::exchange(std::span<const Message> sent, std::span<const Message> received,
                                cudaStream_t stream) {
  or_abort([&] {
    nccl_.check(nccl_.group_start(), "ncclGroupStart");
    for (const Message& message : sent) {
      nccl_.check(
          nccl_.send(message.data, message.bytes, NcclLibrary::bytes, message.peer, comm_, stream),
          "ncclSend");
    }
    for (const Message& message : received) {
      nccl_.check(nccl_.receive(message.data, message.bytes, NcclLibrary::bytes, message.peer,
                                comm_, stream),
                  "ncclRecv");
    }
    nccl_.check(nccl_.group_end(), "ncclGroupEnd");
  });
}

std::vector<std::byte> NcclCommunicator::gather(std::span<const std::byte> mine) {
  return or_abort([&] { return meeting_.gather(mine); });
}

void NcclCommunicator::wait(cudaStream_t stream) {
  or_abort([&] {
    const Clock::time_point end =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(meeting_.patience());
    for (int look = 1;; ++look) {
      const cudaError_t status = cudaStreamQuery(stream);
      if (status != cudaErrorNotReady) return CUDA_CHECK(status);
      if (look % looks_between_checks == 0) check_transfers();
      if (Clock::now() > end) {
        throw InputError("ranks: expected the device of rank " + std::to_string(rank()) +
                         " to be done in time, it was not");
      }
      std::this_thread::sleep_for(between_looks);
    }
  });
}

// A transfer with a rank that has gone would never end.
void NcclCommunicator::check_transfers() {
  meeting_.check_presence();
  NcclLibrary::Result error = NcclLibrary::success;
  nccl_.check(nccl_.comm_get_async_error(comm_, &error), "ncclCommGetAsyncError");
  if (error != NcclLibrary::in_progress) nccl_.check(error, "ncclCommGetAsyncError");
}

}  // namespace pairedhead::gpu
