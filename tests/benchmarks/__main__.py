"""All measurements, one after another: ``make benchmark``. Minutes; give it the machine for itself."""

from tests.benchmarks import (
    closest_points,
    distillation,
    hash_encoding,
    memory,
    rasterization,
    score_distillation,
    textures,
    volume_rendering,
)

ALL = (
    score_distillation,
    distillation,
    volume_rendering,
    hash_encoding,
    rasterization,
    closest_points,
    textures,
    memory,
)

if __name__ == "__main__":
    for benchmark in ALL:
        print(f"\n{(benchmark.__doc__ or benchmark.__name__).splitlines()[0]}")
        benchmark.main()
