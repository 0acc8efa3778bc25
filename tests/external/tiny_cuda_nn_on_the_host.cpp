// tiny-cuda-nn's hash grid on the CPU: its own kernels and its own layout of parameters, called point by point.
// Its launches are left out (TCNN_NO_FWD_BWD); what a card would supply stands above its headers.

#include <cuda_runtime.h>
#include <cuda_fp16.h>
#include <cmath>

static thread_local uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
inline float normcdff(float x) { return 0.5f * erfcf(-x / sqrtf(2.0f)); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

#include <tiny-cuda-nn/common.h>

namespace tcnn {
template <uint32_t N, size_t A>
void atomic_add_gmem(float* to, const tvec<float, N, A>& values) {
	for (uint32_t i = 0; i < N; ++i) to[i] += values[i];
}
}

#include <tiny-cuda-nn/encodings/grid.h>

namespace tcnn {
const std::function<void(LogSeverity, const std::string&)>& log_callback() {
	static const std::function<void(LogSeverity, const std::string&)> silent = [](LogSeverity, const std::string&) {};
	return silent;
}
}

using namespace tcnn;

template <uint32_t F>
using Grid = GridEncodingTemplated<float, 3, F, HashType::CoherentPrime>;

template <uint32_t F>
static Grid<F> made(uint32_t levels, uint32_t log2_size, uint32_t base, float growth) {
	return {levels * F, log2_size, base, growth, false, InterpolationType::Linear, GridType::Hash, false};
}

// The first row of each level, and of all rows the number, into levels + 1 numbers.
extern "C" void rows(uint32_t levels, uint32_t log2_size, uint32_t base, float growth, uint32_t* out) {
	const auto grid = made<1>(levels, log2_size, base, growth);
	for (uint32_t l = 0; l <= levels; ++l) out[l] = grid.params_offset_table().data[l];
}

template <uint32_t F>
static void encoded(
	uint32_t levels, uint32_t log2_size, uint32_t base, float growth, uint32_t count,
	const float* table, const float* points, const float* upstream, float* out, float* gradient
) {
	constexpr uint32_t AT_ONCE = F < 2 ? F : 2;
	constexpr auto HASH = HashType::CoherentPrime;
	constexpr auto LINEAR = InterpolationType::Linear;
	const auto grid = made<F>(levels, log2_size, base, growth);
	const auto& offsets = grid.params_offset_table();
	const float log2_growth = std::log2(growth);
	const MatrixView<const float> where(points, 1, 3);
	blockDim = {1, 1, 1};
	for (uint32_t l = 0; l < levels; ++l) {
		for (uint32_t i = 0; i < count; ++i) {
			blockIdx = {i, l, 0};
			kernel_grid<float, 3, F, HASH>(
				count, levels * F, offsets, base, log2_growth, 1000.0f, nullptr, LINEAR, GridType::Hash, table, where, out, nullptr
			);
		}
		for (uint32_t i = 0; i < count * F / AT_ONCE; ++i) {
			blockIdx = {i, l, 0};
			kernel_grid_backward<float, float, 3, F, AT_ONCE, HASH>(
				count, levels * F, offsets, base, log2_growth, 1000.0f, nullptr, false, LINEAR, GridType::Hash, gradient, where, upstream
			);
		}
	}
}

// Features (levels * F, count) of points (count, 3), and the gradient of the table against upstream (levels * F, count).
extern "C" void encode(
	uint32_t features, uint32_t levels, uint32_t log2_size, uint32_t base, float growth, uint32_t count,
	const float* table, const float* points, const float* upstream, float* out, float* gradient
) {
	const auto kernel = features == 1 ? encoded<1> : features == 2 ? encoded<2> : features == 4 ? encoded<4> : encoded<8>;
	kernel(levels, log2_size, base, growth, count, table, points, upstream, out, gradient);
}
