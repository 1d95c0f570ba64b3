// Kernels for channels-last float32 tensors on the CPU: what a search step spends most of its time on.
// Plain C interface, no torch headers: built in seconds, called through ctypes. Rows are positions, channels contiguous.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

int threads_for(int wanted, int64_t pieces) {
    return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(wanted, pieces)));
}

// Weight gradient of one image for V channels from channel c: acc[kh][kw][v] += x * g.
template <int K, int V>
void weight_rows(const float* x, const float* g, float* acc, int h, int w, int oh, int ow, int c, int channels, int stride,
                 int pad, int dil) {
    for (int i = 0; i < oh; ++i) {
        for (int a = 0; a < K; ++a) {
            const int y = i * stride - pad + a * dil;
            if (y < 0 || y >= h) continue;
            float sum[K][V];
            for (int b = 0; b < K; ++b)
                for (int v = 0; v < V; ++v) sum[b][v] = 0.0f;
            const float* row = x + static_cast<int64_t>(y) * w * channels + c;
            const float* grad = g + static_cast<int64_t>(i) * ow * channels + c;
            const int reach = (K - 1) * dil;
            const int first = std::min(ow, std::max(0, (pad + stride - 1) / stride));
            const int last = std::max(first, std::min(ow, (w - 1 - reach + pad) / stride + 1));
            auto edge = [&](int j) {
                for (int b = 0; b < K; ++b) {
                    const int z = j * stride - pad + b * dil;
                    if (z < 0 || z >= w) continue;
#pragma omp simd
                    for (int v = 0; v < V; ++v)
                        sum[b][v] += row[static_cast<int64_t>(z) * channels + v] * grad[static_cast<int64_t>(j) * channels + v];
                }
            };
            for (int j = 0; j < first; ++j) edge(j);
            for (int j = first; j < last; ++j) {
                const float* base = row + static_cast<int64_t>(j * stride - pad) * channels;
                const float* here = grad + static_cast<int64_t>(j) * channels;
                for (int b = 0; b < K; ++b) {
                    const float* tap = base + static_cast<int64_t>(b) * dil * channels;
#pragma omp simd
                    for (int v = 0; v < V; ++v) sum[b][v] += tap[v] * here[v];
                }
            }
            for (int j = last; j < ow; ++j) edge(j);
            for (int b = 0; b < K; ++b)
                for (int v = 0; v < V; ++v) acc[(a * K + b) * V + v] += sum[b][v];
        }
    }
}

template <int K, int V>
void weight_block(const float* x, const float* g, double* out, int first, int last, int h, int w, int oh, int ow, int c,
                  int channels, int stride, int pad, int dil) {
    std::vector<float> acc(K * K * V);
    for (int n = first; n < last; ++n) {
        std::fill(acc.begin(), acc.end(), 0.0f);
        weight_rows<K, V>(x + static_cast<int64_t>(n) * h * w * channels, g + static_cast<int64_t>(n) * oh * ow * channels,
                          acc.data(), h, w, oh, ow, c, channels, stride, pad, dil);
        for (int t = 0; t < K * K; ++t)
            for (int v = 0; v < V; ++v) out[static_cast<int64_t>(t) * channels + c + v] += acc[t * V + v];
    }
}

template <int K>
void weight_images(const float* x, const float* g, double* out, int first, int last, int h, int w, int oh, int ow,
                   int channels, int stride, int pad, int dil) {
    int c = 0;
    for (; c + 16 <= channels; c += 16)
        weight_block<K, 16>(x, g, out, first, last, h, w, oh, ow, c, channels, stride, pad, dil);
    for (; c + 4 <= channels; c += 4)
        weight_block<K, 4>(x, g, out, first, last, h, w, oh, ow, c, channels, stride, pad, dil);
    for (; c < channels; ++c) weight_block<K, 1>(x, g, out, first, last, h, w, oh, ow, c, channels, stride, pad, dil);
}

template <int K>
void weight_gradient(const float* x, const float* g, float* out, int n, int h, int w, int oh, int ow, int channels,
                     int stride, int pad, int dil, int wanted) {
    const int count = threads_for(wanted, n);
    const int64_t size = static_cast<int64_t>(K) * K * channels;
    std::vector<double> sums(size * count, 0.0);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t)
        weight_images<K>(x, g, sums.data() + t * size, n * t / count, n * (t + 1) / count, h, w, oh, ow, channels, stride,
                         pad, dil);
    for (int64_t i = 0; i < K * K; ++i)
        for (int c = 0; c < channels; ++c) {
            double total = 0.0;
            for (int t = 0; t < count; ++t) total += sums[t * size + i * channels + c];
            out[static_cast<int64_t>(c) * K * K + i] = static_cast<float>(total);
        }
}

// Sums over rows first .. last of two products, for V channels, in blocks so that float sums stay short.
constexpr int kBlock = 256;

}  // namespace

extern "C" {

// x (n, h, w, c), g (n, oh, ow, c) -> out (c, 1, k, k). Returns 0 if the kernel size is not built.
int dw_weight_gradient(const float* x, const float* g, float* out, int n, int h, int w, int oh, int ow, int c, int k,
                       int stride, int pad, int dil, int threads) {
    switch (k) {
        case 3: weight_gradient<3>(x, g, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        case 5: weight_gradient<5>(x, g, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        case 7: weight_gradient<7>(x, g, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        default: return 0;
    }
}

// g (n, oh, ow, c), weight (k*k, c) -> gx (n, h, w, c), any stride.
void dw_input_gradient(const float* g, const float* weight, float* gx, int n, int h, int w, int oh, int ow, int c, int k,
                       int stride, int pad, int dil, int threads) {
    const int count = threads_for(threads, n);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int b = 0; b < n; ++b) {
        float* image = gx + static_cast<int64_t>(b) * h * w * c;
        std::memset(image, 0, sizeof(float) * h * w * c);
        for (int i = 0; i < oh; ++i)
            for (int p = 0; p < k; ++p) {
                const int y = i * stride - pad + p * dil;
                if (y < 0 || y >= h) continue;
                for (int j = 0; j < ow; ++j) {
                    const float* grad = g + ((static_cast<int64_t>(b) * oh + i) * ow + j) * c;
                    for (int q = 0; q < k; ++q) {
                        const int z = j * stride - pad + q * dil;
                        if (z < 0 || z >= w) continue;
                        float* to = image + (static_cast<int64_t>(y) * w + z) * c;
                        const float* tap = weight + static_cast<int64_t>(p * k + q) * c;
#pragma omp simd
                        for (int v = 0; v < c; ++v) to[v] += tap[v] * grad[v];
                    }
                }
            }
    }
}

// Batch norm in training mode: x (rows, c) -> y, mean (c), inverse deviation (c); scale and shift may be null.
void bn_forward(const float* x, const float* scale, const float* shift, float* y, float* mean, float* inverse, int64_t rows,
                int c, float eps, int relu, int threads) {
    const int64_t blocks = (rows + kBlock - 1) / kBlock;
    const int count = threads_for(threads, blocks);
    std::vector<double> total(static_cast<int64_t>(count) * 2 * c, 0.0);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t) {
        std::vector<float> part(2 * c);
        double* own = total.data() + static_cast<int64_t>(t) * 2 * c;
        for (int64_t b = blocks * t / count; b < blocks * (t + 1) / count; ++b) {
            // sums of differences to the block's first row: no cancellation where the mean is large
            const float* origin = x + b * kBlock * c;
            const int64_t end = std::min<int64_t>(rows, (b + 1) * kBlock);
            const int64_t size = end - b * kBlock;
            std::fill(part.begin(), part.end(), 0.0f);
            float* s = part.data();
            float* q = s + c;
            for (int64_t r = b * kBlock; r < end; ++r) {
                const float* row = x + r * c;
#pragma omp simd
                for (int v = 0; v < c; ++v) {
                    const float d = row[v] - origin[v];
                    s[v] += d;
                    q[v] += d * d;
                }
            }
            for (int v = 0; v < c; ++v) {
                const double o = origin[v], d = s[v];
                own[v] += d + size * o;
                own[c + v] += q[v] + 2.0 * o * d + size * o * o;
            }
        }
    }
    std::vector<float> factor(c), offset(c);
    for (int v = 0; v < c; ++v) {
        double s = 0.0, q = 0.0;
        for (int t = 0; t < count; ++t) {
            s += total[static_cast<int64_t>(t) * 2 * c + v];
            q += total[static_cast<int64_t>(t) * 2 * c + c + v];
        }
        const double m = s / rows, variance = std::max(0.0, q / rows - m * m);
        mean[v] = static_cast<float>(m);
        inverse[v] = static_cast<float>(1.0 / std::sqrt(variance + eps));
        factor[v] = scale ? inverse[v] * scale[v] : inverse[v];
        offset[v] = shift ? shift[v] : 0.0f;
    }
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t)
        for (int64_t r = rows * t / count; r < rows * (t + 1) / count; ++r) {
            const float* from = x + r * c;
            float* to = y + r * c;
            if (relu) {
#pragma omp simd
                for (int v = 0; v < c; ++v) to[v] = std::max(0.0f, (from[v] - mean[v]) * factor[v] + offset[v]);
            } else {
#pragma omp simd
                for (int v = 0; v < c; ++v) to[v] = (from[v] - mean[v]) * factor[v] + offset[v];
            }
        }
}

// Backward of bn_forward: gx (rows, c) unless null, gscale (c) and gshift (c).
void bn_backward(const float* x, const float* g, const float* scale, const float* shift, const float* mean,
                 const float* inverse, float* gx, float* gscale, float* gshift, int64_t rows, int c, int relu, int threads) {
    const int64_t blocks = (rows + kBlock - 1) / kBlock;
    const int count = threads_for(threads, blocks);
    std::vector<float> factor(c), offset(c);
    for (int v = 0; v < c; ++v) {
        factor[v] = scale ? inverse[v] * scale[v] : inverse[v];
        offset[v] = shift ? shift[v] : 0.0f;
    }
    std::vector<double> total(static_cast<int64_t>(count) * 2 * c, 0.0);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t) {
        std::vector<float> part(2 * c);
        double* own = total.data() + static_cast<int64_t>(t) * 2 * c;
        for (int64_t b = blocks * t / count; b < blocks * (t + 1) / count; ++b) {
            std::fill(part.begin(), part.end(), 0.0f);
            float* s = part.data();
            float* q = s + c;
            for (int64_t r = b * kBlock; r < std::min<int64_t>(rows, (b + 1) * kBlock); ++r) {
                const float* row = x + r * c;
                const float* grad = g + r * c;
                if (relu) {
#pragma omp simd
                    for (int v = 0; v < c; ++v) {
                        const float d = row[v] - mean[v];
                        const float e = d * factor[v] + offset[v] > 0.0f ? grad[v] : 0.0f;
                        s[v] += e;
                        q[v] += e * d;
                    }
                } else {
#pragma omp simd
                    for (int v = 0; v < c; ++v) {
                        s[v] += grad[v];
                        q[v] += grad[v] * (row[v] - mean[v]);
                    }
                }
            }
            for (int v = 0; v < 2 * c; ++v) own[v] += part[v];
        }
    }
    std::vector<float> average(c), slope(c);
    for (int v = 0; v < c; ++v) {
        double s = 0.0, q = 0.0;
        for (int t = 0; t < count; ++t) {
            s += total[static_cast<int64_t>(t) * 2 * c + v];
            q += total[static_cast<int64_t>(t) * 2 * c + c + v];
        }
        gshift[v] = static_cast<float>(s);
        gscale[v] = static_cast<float>(q * inverse[v]);
        average[v] = static_cast<float>(s / rows);
        slope[v] = static_cast<float>(q / rows * inverse[v] * inverse[v]);
    }
    if (!gx) return;
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t)
        for (int64_t r = rows * t / count; r < rows * (t + 1) / count; ++r) {
            const float* row = x + r * c;
            const float* grad = g + r * c;
            float* to = gx + r * c;
            if (relu) {
#pragma omp simd
                for (int v = 0; v < c; ++v) {
                    const float d = row[v] - mean[v];
                    const float e = d * factor[v] + offset[v] > 0.0f ? grad[v] : 0.0f;
                    to[v] = (e - average[v] - d * slope[v]) * factor[v];
                }
            } else {
#pragma omp simd
                for (int v = 0; v < c; ++v) to[v] = (grad[v] - average[v] - (row[v] - mean[v]) * slope[v]) * factor[v];
            }
        }
}

}  // extern "C"
