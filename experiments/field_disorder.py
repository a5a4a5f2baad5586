"""Print the spread of the fields at dots at random places: `python experiments/field_disorder.py`.

Hard spheres at equilibrium, dipoles of PbS in perovskite. Against the first order, beta sqrt(f/10): dipoles of the mean
size, and dipoles in each other's fields; along the mean field and across it.
"""

import numpy as np

from invdesign.electrostatics.disorder import box, exciting_field, hard_spheres

CONTRAST = (22 - 70) / (22 + 2 * 70)
SIDE, SWEEPS, FILMS = 8, 100, 6


def main() -> None:
    print("    f  first order |  equal dipoles: along, across |  coupled: along, across, mean of |F| - 1, skewness")
    for fraction in (0.02, 0.05, 0.1, 0.2, 0.29):
        films = [hard_spheres(SIDE, fraction, SWEEPS, seed) for seed in range(FILMS)]
        first = abs(CONTRAST) * np.sqrt(fraction / 10)
        parts = [f"{fraction:5.2f}  {first:11.4f}"]
        for coupled in (False, True):
            field = np.concatenate([exciting_field(at, box(SIDE, fraction), CONTRAST, coupled) for at in films])
            field /= np.mean(field[:, 2])
            along, across = np.std(field[:, 2]), np.sqrt(np.mean(field[:, :2] ** 2))
            parts.append(f"{along / first:9.3f} {across / first:9.3f}")
        larger = np.mean(np.linalg.norm(field, axis=1)) - 1
        parts[-1] += f" {larger:12.5f} {np.mean((field[:, 2] - 1) ** 3) / along**3:9.2f}"
        print(" | ".join(parts), flush=True)


if __name__ == "__main__":
    main()
