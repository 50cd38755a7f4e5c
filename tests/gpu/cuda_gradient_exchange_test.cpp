#include <gtest/gtest.h>

#include <cmath>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/gradient_exchange.h"
#include "tests/gpu/device_fixture.h"
#include "tests/gpu/local_communicator.h"

namespace pairedhead::gpu {
namespace {

constexpr int micro_batches = 8;

struct HostGradient {
  std::vector<std::uint16_t> bf16;
  std::vector<float> fp32;
};

// Of very different magnitudes, so that every order of adding up gives other bits.
std::vector<HostGradient> random_gradients(const ParameterLayout& layout) {
  std::mt19937 generator(7);
  std::normal_distribution<float> value;
  std::uniform_int_distribution<int> exponent(-12, 0);
  std::vector<HostGradient> gradients(micro_batches);
  for (HostGradient& gradient : gradients) {
    for (std::int64_t i = 0; i < layout.bf16_count(); ++i) {
      gradient.bf16.push_back(emulated::to_bf16(std::ldexp(value(generator), exponent(generator))));
    }
    for (std::int64_t i = 0; i < layout.fp32_count(); ++i) {
      gradient.fp32.push_back(std::ldexp(value(generator), exponent(generator)));
    }
  }
  return gradients;
}

template <class T>
void upload(const std::vector<T>& from, void* to, const Stream& stream) {
  CUDA_CHECK(
      cudaMemcpyAsync(to, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice, stream));
  stream.synchronize();
}
template <class T>
std::vector<T> download(const void* from, std::int64_t count, const Stream& stream) {
  std::vector<T> to(static_cast<std::size_t>(count));
  CUDA_CHECK(
      cudaMemcpyAsync(to.data(), from, to.size() * sizeof(T), cudaMemcpyDeviceToHost, stream));
  stream.synchronize();
  return to;
}

// One rank's buffers.
struct OnDevice {
  OnDevice(const ParameterLayout& layout, const Ownership& ownership, Communicator& communicator)
      : memory(bytes(layout, ownership, communicator)),
        arena(memory),
        tree(layout, arena),
        exchange(ownership, communicator, arena),
        parameters{arena.take<__nv_bfloat16>(layout.bf16_count()),
                   arena.take<float>(layout.fp32_count())} {
    CUDA_CHECK(cudaMemsetAsync(memory.data(), 0xff, memory.bytes(), stream));
  }

  static std::size_t bytes(const ParameterLayout& layout, const Ownership& ownership,
                           Communicator& communicator) {
    Arena counted;
    const GradientTree tree(layout, counted);
    const GradientExchange exchange(ownership, communicator, counted);
    counted.take<__nv_bfloat16>(layout.bf16_count());
    counted.take<float>(layout.fp32_count());
    return counted.used();
  }

  Stream stream;
  DeviceMemory memory;
  Arena arena;
  GradientTree tree;
  GradientExchange exchange;
  ParameterBuffers parameters;
};

// What the ranks' owners make of the gradients, each its own part of the layout.
struct Means {
  std::vector<float> bf16, fp32;
  std::vector<int> owners_of_bf16, owners_of_fp32;  // how many
};

Means average(const ParameterLayout& layout, const std::vector<HostGradient>& gradients,
              int ranks) {
  const Ownership ownership(layout, ranks);
  Means means{std::vector<float>(static_cast<std::size_t>(layout.bf16_count())),
              std::vector<float>(static_cast<std::size_t>(layout.fp32_count())),
              std::vector<int>(static_cast<std::size_t>(layout.bf16_count())),
              std::vector<int>(static_cast<std::size_t>(layout.fp32_count()))};
  std::mutex mutex;
  LocalWorld(ranks).run([&](Communicator& communicator) {
    OnDevice device(layout, ownership, communicator);
    const int share = micro_batches / ranks;
    for (int i = 0; i < share; ++i) {
      const HostGradient& gradient =
          gradients[static_cast<std::size_t>(communicator.rank() * share + i)];
      upload(gradient.bf16, device.tree.leaf(i).bf16, device.stream);
      upload(gradient.fp32, device.tree.leaf(i).fp32, device.stream);
      device.tree.add(i, device.stream);
    }
    const GradientSums& mean = device.exchange.average(device.tree, device.stream);
    const auto bf16 = download<float>(mean.of_bf16, layout.bf16_count(), device.stream);
    const auto fp32 = download<float>(mean.of_fp32, layout.fp32_count(), device.stream);
    communicator.gather({});  // nobody's memory goes while others copy from it
    const std::lock_guard lock(mutex);
    const auto keep = [](const std::vector<Stretch>& stretches, const std::vector<float>& from,
                         std::vector<float>& to, std::vector<int>& owners) {
      for (const Stretch& stretch : stretches) {
        for (auto i = static_cast<std::size_t>(stretch.first);
             i < static_cast<std::size_t>(stretch.first + stretch.count); ++i) {
          if (owners[i]++ > 0) {
            EXPECT_EQ(to[i], from[i]) << "owners differ at " << i;
          }
          to[i] = from[i];
        }
      }
    };
    const OwnedStretches& mine = ownership.all(communicator.rank());
    keep(mine.bf16, bf16, means.bf16, means.owners_of_bf16);
    keep(mine.fp32, fp32, means.fp32, means.owners_of_fp32);
  });
  return means;
}

class CudaGradientExchange : public DeviceFixture {};

// One rank takes the sum, W ranks the mean of sums that are W times as large (SPEC §9.1).
TEST_F(CudaGradientExchange, GivesTheOwnersTheSameBitsForAnyNumberOfRanks) {
  const ParameterLayout layout(reference::micro_config());
  const std::vector<HostGradient> gradients = random_gradients(layout);
  const Means one = average(layout, gradients, 1);
  for (const int ranks : {2, 4, 8}) {
    SCOPED_TRACE(std::to_string(ranks) + " ranks");
    const Means several = average(layout, gradients, ranks);
    for (const ParameterPlace& place : layout.places()) {
      const bool bf16 = place.bf16();
      for (auto i = static_cast<std::size_t>(place.offset);
           i < static_cast<std::size_t>(place.offset + place.count); ++i) {
        const float sum = bf16 ? one.bf16[i] : one.fp32[i];
        const float mean = bf16 ? several.bf16[i] : several.fp32[i];
        ASSERT_EQ(mean * static_cast<float>(ranks), sum) << place.info.name << ", element " << i;
        const int owners = bf16 ? several.owners_of_bf16[i] : several.owners_of_fp32[i];
        ASSERT_TRUE(owners == 1 || (owners == ranks && place.count < 1024))
            << place.info.name << " has " << owners << " owners";
      }
    }
  }
}

TEST_F(CudaGradientExchange, SharesWhatEveryOwnerHasUpdated) {
  const ParameterLayout layout(reference::micro_config());
  for (const int ranks : {1, 2, 4, 8}) {
    SCOPED_TRACE(std::to_string(ranks) + " ranks");
    const Ownership ownership(layout, ranks);
    std::mutex mutex;
    LocalWorld(ranks).run([&](Communicator& communicator) {
      OnDevice device(layout, ownership, communicator);
      // What is owned holds its place, as nobody else's does; the rest is poison.
      for (const Stretch& stretch : ownership.all(communicator.rank()).bf16) {
        std::vector<std::uint16_t> numbers;
        for (std::int64_t i = 0; i < stretch.count; ++i) {
          numbers.push_back(static_cast<std::uint16_t>((stretch.first + i) % 32749));
        }
        upload(numbers, device.parameters.bf16 + stretch.first, device.stream);
      }
      for (const Stretch& stretch : ownership.all(communicator.rank()).fp32) {
        std::vector<float> numbers;
        for (std::int64_t i = 0; i < stretch.count; ++i) {
          numbers.push_back(static_cast<float>(stretch.first + i));
        }
        upload(numbers, device.parameters.fp32 + stretch.first, device.stream);
      }
      device.exchange.share(device.parameters, device.stream);
      const auto bf16 =
          download<std::uint16_t>(device.parameters.bf16, layout.bf16_count(), device.stream);
      const auto fp32 = download<float>(device.parameters.fp32, layout.fp32_count(), device.stream);
      communicator.gather({});
      const std::lock_guard lock(mutex);
      for (const ParameterPlace& place : layout.places()) {
        for (std::int64_t i = place.offset; i < place.offset + place.count; ++i) {
          const auto at = static_cast<std::size_t>(i);
          if (place.bf16()) {
            ASSERT_EQ(bf16[at], i % 32749) << place.info.name;
          } else {
            ASSERT_EQ(fp32[at], static_cast<float>(i)) << place.info.name;
          }
        }
      }
    });
  }
}

}  // namespace
}  // namespace pairedhead::gpu
