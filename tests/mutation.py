"""Mutants of the modules that prove something: which of them do the tests notice?

``make mutation`` changes one operator or number at a time in a copy of the tree, in a
sample of a fixed seed, and runs the tests mapped to the module. A mutant that they do
not notice is printed and written to a file: it wants an asserting test, or a line with
a reason in ``mutation_equivalents.toml`` if no test can tell it from the original.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import argparse
import ast
import contextlib
import difflib
import importlib
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENTS = Path(__file__).with_name("mutation_equivalents.toml")
_GIGABYTES = 12  # what a mutant may map
# Mutants that could not have been typed by mistake say nothing: bits of floats, powers.
_TARGETS = (
    r"BinaryOperator_(Add|Sub|Mul|Div|Pow|FloorDiv|Mod)_(Add|Sub|Mul|Div)"
    r"|BinaryOperator_(BitAnd_BitOr|BitOr_BitAnd)"
    r"|ComparisonOperator_(Eq|NotEq|Lt|LtE|Gt|GtE)_(Eq|NotEq|Lt|LtE|Gt|GtE)"
    r"|ComparisonOperator_(Is_IsNot|IsNot_Is)|UnaryOperator_\w+_Delete"
    r"|(AndWithOr|OrWithAnd|TrueWithFalse|FalseWithTrue|BreakWithContinue)"
    r"|ContinueWithBreak"
)
_OPERATORS = rf"core/(Replace({_TARGETS})|AddNot|NumberReplacer|ZeroIterationForLoop)$"

_PLAIN = "plain"  # without compilation, so that no cached kernel hides the mutant
_LASSO = ["linear_model/test_lasso.py"]
_PARTS = ["linear_model/test_gap_parts.py"]
_MEASURES = ["linear_model/test_measures.py"]
_CERTIFIED = ["test_certificates.py"]
_FITS = ["linear_model/test_datafits.py"]
_KERNELS = [_PLAIN, "linear_model/test_path_kernels.py"]
_GLM = ["linear_model/test_glm.py"]
_PROBLEMS = ["linear_model/test_likelihood_problems.py"]
_COX = ["linear_model/test_cox.py", "linear_model/test_offset_and_strata.py"]
_PROOFS = "cluster/test_kmeans_proofs.py"
_BLOCKS = ["test_block_bounds.py"]
_SUMS = ["linear_model/test_block_sums.py"]
_SELECTIVE = ["inference/test_inference_bounds.py", "inference/test_selective.py"]
_SCALED = ["inference/test_inference_bounds.py", "inference/test_debiased.py"]
_KMEANS = [
    "cluster/test_kmeans_bounds.py",
    "cluster/test_contract.py::test_weights_that_vanish_beside_others_are_zeros",
    _PROOFS,
]
_LEVELS = (
    "test_the_excess_is_the_bound_of_its_parts",
    "test_the_cost_is_that_of_brute_force_for_every_k",
    "test_many_values_are_halved_to_the_same_optimum",
    "test_the_excess_bounds_what_rounding_did",
    "test_far_clusters_of_tiny_spread_are_solved_in_pairs",
    "test_weights_of_very_different_sizes",
    "test_neighboring_doubles_are_told_apart",
)
_LDP = [
    "linear_model/test_ldp.py::" + name
    for name in (
        "test_rounds_of_the_server_by_hand",
        "test_messages_are_made_only_where_users_are_simulated",
        "test_rounds_end_where_somebody_says_so_and_moments_begin_anew",
        "test_lengths_of_messages_tell_the_number_of_features",
        "test_bounds_of_gradients_are_the_least_of_three",
        "test_bounds_of_zeros_are_one",
        "test_without_strictness_bounds_come_from_the_data_with_a_warning",
        "test_receiving_checks_what_arrives",
        "test_one_call_receives_second_moments",
        "test_every_user_of_the_interactive_protocol_speaks_once",
        "test_the_ledger_adds_up_what_one_user_releases",
        "test_expanded_rounds_end_with_the_wanted_number_of_coefficients",
        "test_other_contradictions_are_refused",
        "test_a_huge_budget_gives_the_answer_without_privacy",
        "test_an_unbounded_ball_leaves_large_coefficients_alone",
    )
]
_TRANSPORT = ["transport/test_proofs.py"]
_ANSWERS = [
    "transport/test_honest_margins.py",
    "transport/test_sinkhorn.py::test_values_and_certificate_are_those_of_the_"
    "returned_plan",
    "transport/test_sinkhorn.py::test_zero_masses_give_empty_rows_and_finite_"
    "potentials",
]
# Module: the functions and classes that prove ("" is all of it), and its tests, the
# quickest first.
MODULES = {
    "_utils/arithmetic.py": ("", ["utils/test_arithmetic.py"]),
    "_utils/_kernels_arithmetic.py": ("", [_PLAIN, "utils/test_arithmetic.py"]),
    "_utils/results.py": ("", ["utils/test_results.py"]),
    "_utils/dask_tasks.py": (
        "_awaited",
        ["test_row_blocks.py::test_a_cluster_without_workers_is_not_waited_for"],
    ),
    "linear_model/_penalized/_rounding.py": ("", [*_PARTS, *_MEASURES, *_CERTIFIED]),
    "linear_model/_penalized/_penalties.py": ("", [*_PARTS, *_LASSO, *_CERTIFIED]),
    "linear_model/_penalized/_groups.py": (
        "Groups GroupPenalty group_weight_array",
        [*_PARTS, "linear_model/test_group_lasso.py"],
    ),
    "linear_model/_penalized/_slope.py": (
        "SlopePenalty",
        [*_PARTS, "linear_model/test_slope.py"],
    ),
    "linear_model/_penalized/_gaps.py": ("", [*_PARTS, *_GLM]),
    "linear_model/_penalized/_datafits.py": (
        "",
        [*_FITS, "linear_model/test_cox.py", *_GLM],
    ),
    "linear_model/_penalized/_steps.py": ("", [*_FITS, *_GLM]),
    "linear_model/_penalized/_problems.py": (
        "given _add_storage_error certificate dual_gaps measures start_of "
        "coef_unit alpha_unit alpha_max _least_squares",
        [*_MEASURES, "linear_model/test_paths_and_cv.py", *_LASSO],
    ),
    "linear_model/_penalized/_class_datafits.py": ("", [*_FITS, *_MEASURES, *_GLM]),
    "linear_model/_penalized/_likelihood_loop.py": (
        "_unit _rounding _measure _measure_on",
        [*_MEASURES, *_GLM],
    ),
    "linear_model/_penalized/_outer.py": ("_error solve", [*_MEASURES, *_LASSO, *_GLM]),
    "linear_model/_penalized/_gram_path.py": (
        "_gap_rounding measured_point gram_fit points_of",
        ["linear_model/test_gram_path.py"],
    ),
    "linear_model/_penalized/_concave_path.py": (
        "_run _on_fold _start_of _results",
        ["linear_model/test_concave_path.py", "linear_model/test_nonconvex.py"],
    ),
    "linear_model/_penalized/_csc_path.py": (
        "_rounding center_share csc_results",
        [
            "linear_model/test_gram_path.py::" + name
            for name in (
                "test_the_bound_of_rounding_of_sparse_columns_is_the_sum_of_its_parts",
                "test_centers_count_beside_the_spread_of_their_columns",
                "test_products_of_sparse_columns_are_wrong_by_the_longest_column",
                "test_sparse_paths_of_which_nothing_is_solved_are_none",
                "test_sparse_paths_that_run_out_of_sweeps_are_handed_over",
            )
        ],
    ),
    "linear_model/_penalized/_elastic_net.py": (
        "",
        ["linear_model/test_elastic_net_problem.py"],
    ),
    "linear_model/_penalized/_factor.py": (
        "",
        ["linear_model/test_support_factor.py"],
    ),
    "linear_model/_penalized/_points.py": ("", ["linear_model/test_points.py"]),
    "linear_model/_penalized/_result.py": ("", ["linear_model/test_points.py"]),
    "linear_model/_penalized/_unpenalized.py": (
        "unpenalized_least_squares",
        [
            "linear_model/test_measures.py::" + name
            for name in (
                "test_least_squares_and_its_violation",
                "test_least_squares_of_several_targets",
                "test_a_violation_of_least_squares_is_seen",
            )
        ],
    ),
    "linear_model/_penalized/_proximal.py": (
        "_at _measure _rounding",
        [
            "linear_model/test_measures.py::" + name
            for name in (
                "test_steps_of_a_penalty_of_users_measure_it",
                "test_a_step_of_users_counts_the_slope_of_the_intercept",
            )
        ],
    ),
    "linear_model/_penalized/_likelihood_path.py": (
        "_rounding _suits_fit likelihood_result likelihood_results",
        ["linear_model/test_likelihood_path.py"],
    ),
    "linear_model/_penalized/_kernels_entry.py": ("", _KERNELS),
    "linear_model/_penalized/_kernels_path.py": (
        "_soft _gap _sweep _newton _products",
        _KERNELS,
    ),
    "linear_model/_penalized/_kernels_group_path.py": (
        "_norm _size _gap _sweep _newton",
        _KERNELS,
    ),
    "linear_model/_penalized/_kernels_likelihood.py": (
        "_dot _add _total _correlate _gram _bound _penalty _settle _measure",
        _KERNELS,
    ),
    "linear_model/_penalized/_kernels_likelihood_fit.py": (
        "_gram _choose _minimize",
        [_PLAIN, "linear_model/test_likelihood_path.py"],
    ),
    "linear_model/_penalized/_kernels_csc_likelihood.py": (
        "_sweep _weigh _slopes _add_columns",
        [_PLAIN, "linear_model/test_csc_likelihood_kernels.py"],
    ),
    "linear_model/_penalized/_kernels_losses.py": (
        "",
        [
            _PLAIN,
            "linear_model/test_likelihood_path.py::"
            "test_compiled_losses_are_those_of_the_datafits",
            "linear_model/test_likelihood_path.py::"
            "test_conjugates_of_tweedie_are_found_from_anywhere",
        ],
    ),
    "linear_model/_penalized/_group_path.py": (
        "_rotations _gap_rounding group_results",
        [
            "linear_model/test_group_path.py::" + name
            for name in (
                "test_the_bound_of_rounding_is_the_sum_of_its_parts",
                "test_rotated_groups_have_diagonal_blocks",
                "test_points_carry_the_bound_of_their_rounding",
                "test_orthonormal_columns_have_a_closed_form",
                "test_paths_of_groups_of_which_nothing_is_solved_are_none",
                "test_strengths_left_over_are_finished",
            )
        ],
    ),
    "linear_model/_penalized/_kernels_csc_path.py": (
        "_gap _sweep _products _image _newton _residual _all_products",
        [_PLAIN, "linear_model/test_csc_kernels.py"],
    ),
    "linear_model/_penalized/_block_sums.py": (
        "kernel_slices Outline sums merge class_sums losses class_losses",
        [*_SUMS, *_BLOCKS],
    ),
    "linear_model/_penalized/_kernels_blocks.py": ("", [_PLAIN, *_SUMS]),
    "linear_model/_penalized/_block_likelihood.py": (
        "_pass _settled _judged _chain",
        _SUMS
        + _BLOCKS
        + [
            "test_row_blocks.py::" + name
            for name in (
                "test_the_gap_of_a_likelihood_is_that_of_the_data",
                "test_strengths_that_select_nothing_and_none_at_all",
                "test_every_container_gives_the_same_likelihood[of_array]",
            )
        ],
    ),
    "linear_model/_penalized/_moment_problem.py": (
        "of_target _certified _measure _judge _refined of_others held_out_error",
        _BLOCKS
        + [
            "test_row_blocks.py::" + name
            for name in (
                "test_the_gap_is_that_of_the_data",
                "test_a_root_without_digits_is_mended_by_the_data",
                "test_no_penalty_is_least_squares",
                "test_several_targets_in_blocks_are_those_in_memory",
                "test_constant_and_dependent_columns",
            )
        ],
    ),
    "linear_model/_penalized/_given_problem.py": (
        "",
        [
            "linear_model/test_penalized_regressor.py",
            "linear_model/test_stop_explained.py::"
            "test_objects_end_the_grid_as_names_do",
            "linear_model/test_stop_explained.py::"
            "test_losses_below_zero_have_no_share_to_explain",
        ],
    ),
    "linear_model/_penalized/_augmented_lagrangian.py": (
        "",
        ["linear_model/test_augmented_lagrangian.py"],
    ),
    "linear_model/_penalized/_softmax.py": (
        "_step",
        ["linear_model/test_softmax_parts.py"],
    ),
    "linear_model/_penalized/_softmax_parts.py": (
        "better Block Model model_value value model_change _changes _group_bounds",
        ["linear_model/test_softmax_parts.py"],
    ),
    "linear_model/_penalized/_multinomial_problem.py": (
        "",
        [
            *_PROBLEMS,
            "linear_model/test_offset_and_strata.py::test_offsets_of_several_classes",
            "linear_model/test_glm.py::"
            "test_a_class_that_a_fold_lacks_costs_but_does_not_fail",
        ],
    ),
    "linear_model/_penalized/_likelihood_problems.py": (
        "",
        [*_PROBLEMS, *_COX, *_GLM],
    ),
    "linear_model/_penalized/_survival.py": (
        "",
        [
            "linear_model/test_interval_sums.py",
            *_COX,
            *_FITS,
            "test_block_estimators.py::test_the_model_of_cells_lies_above_the_hessian",
        ],
    ),
    "linear_model/_penalized/_interval_sums.py": (
        "",
        ["linear_model/test_interval_sums.py"],
    ),
    "linear_model/_penalized/_survival_problem.py": ("", _COX),
    "linear_model/_penalized/_survival_targets.py": (
        "with_events stratum_numbers concordance_index",
        _COX,
    ),
    "linear_model/_penalized/_kernels_glm.py": (
        "",
        [_PLAIN, "linear_model/test_softmax_kernels.py"],
    ),
    "linear_model/_penalized/_kernels_slope.py": (
        "",
        [
            _PLAIN,
            "linear_model/test_slope.py::"
            "test_the_prox_is_isotonic_and_the_support_where_sums_are_largest",
        ],
    ),
    "linear_model/_penalized/_spec.py": (
        "PenaltySpec",
        [
            "linear_model/test_likelihood_problems.py::"
            "test_what_penalties_are_known_to_have",
        ],
    ),
    "linear_model/_blocks/_survival.py": (
        "",
        [
            "test_block_estimators.py::" + name
            for name in (
                "test_blocks_of_survival_may_have_weights_or_none",
                "test_survival_in_blocks_refuses_what_it_cannot_use",
                "test_one_column_of_times_means_that_all_were_seen",
                "test_strengths_of_survival_are_those_in_memory",
            )
        ],
    ),
    "linear_model/_subsets/_fit.py": (
        "default_largest criterion_penalty log_log _choose _keep",
        [
            "linear_model/test_best_subset.py::" + name
            for name in (
                "test_doubts_of_the_search_are_those_of_the_certificate",
                "test_a_chosen_size_that_is_refined_may_leave_another_ahead",
                "test_default_largest_size_follows_the_samples",
                "test_sizes_of_the_extended_bic_are_parameters_where_nobody_counts_"
                "features",
                "test_criteria_are_the_documented_ones",
                "test_ridge_is_that_of_standardized_features",
                "test_coefficients_are_least_squares_and_losses_fall_along_the_path",
                "test_groups_agree_with_exhaustive_search_over_groups",
            )
        ],
    ),
    "linear_model/_subsets/_random_support.py": (
        "_fitted _keep",
        [
            "linear_model/test_random_support.py::" + name
            for name in (
                "test_the_noise_is_what_is_left_over_the_rows_left",
                "test_coefficients_are_least_squares_on_the_support",
                "test_an_empty_model_is_the_mean",
            )
        ],
    ),
    "linear_model/_descent/_descent.py": (
        "descend",
        [
            "linear_model/test_greedy_bcd.py::" + name
            for name in (
                "test_the_certificate_does_not_trust_the_product_that_steps_keep",
                "test_products_are_made_afresh_now_and_then_and_the_finisher_comes_"
                "first",
                "test_objectives_that_are_not_finite_are_refused",
                "test_the_answer_is_stationary_and_certified",
            )
        ],
    ),
    "linear_model/_elementary.py": (
        "mean_squared_residual least_cp solve_floored fit",
        ["linear_model/test_elementary.py"],
    ),
    "linear_model/_private/_protocol.py": (
        "_bounds _features_of _radius _receive_mean _closed_form",
        _LDP,
    ),
    "linear_model/_private/_ldp.py": ("_simulate receive", _LDP),
    "inference/_knockoff_s.py": ("", ["inference/test_knockoff_parts.py"]),
    "inference/_knockoff_filter.py": ("", ["inference/test_knockoff_parts.py"]),
    "inference/_knockoff_copies.py": ("", ["inference/test_knockoff_parts.py"]),
    "inference/_truncated_normal.py": ("", _SELECTIVE),
    "inference/_selective.py": (
        "cut_off _Selection _Active _gap _tight_lasso",
        _SELECTIVE,
    ),
    "inference/_scaled_lasso_solver.py": (
        "universal_strength centered_target ActiveSet scaled_lasso _gap",
        _SCALED,
    ),
    "inference/_nodewise.py": ("", _SCALED),
    "inference/_kernels_nodewise.py": (
        "",
        [_PLAIN, "inference/test_nodewise_kernel.py"],
    ),
    "inference/_scaled_lasso_blocks.py": (
        "",
        _BLOCKS
        + [
            "test_row_blocks.py::" + name
            for name in (
                "test_the_scaled_lasso_in_blocks_is_that_in_memory",
                "test_the_scaled_lasso_of_constant_targets_and_columns",
            )
        ],
    ),
    "inference/_error_bounds.py": ("", ["inference/test_error_bounds.py"]),
    "linear_model/_subsets/_search.py": (
        "_exact _exact_triangular _exact_one _bound",
        ["linear_model/test_best_subset.py"],
    ),
    "linear_model/_subsets/_likelihoods.py": (
        "fit _newton _newton_step _hessian coefficients loss_of least_value",
        [
            "linear_model/test_best_subset_models.py::" + name
            for name in (
                "test_poisson_agrees_with_enumeration",
                "test_classes_that_are_separated_have_no_best_subset_without_a_ridge",
                "test_counts_of_zero_on_one_side_have_no_best_subset_without_a_ridge",
                "test_newton_says_what_is_left_to_save",
                "test_newton_steps_are_those_of_the_hessian",
                "test_cox_agrees_with_enumeration",
            )
        ],
    ),
    "linear_model/_subsets/_kernels_subset.py": (
        "_rotate _rotate_columns _invert _pivot _unexplained _coefficient best_subsets",
        [_PLAIN, "linear_model/test_subset_kernels.py"],
    ),
    "linear_model/_graphs/_harmonic.py": (
        "_residual _even_graph _propagate _refine",
        ["linear_model/test_graph_labels.py"],
    ),
    "linear_model/_penalized/_design.py": (
        "",
        ["linear_model/test_design.py", *_MEASURES, *_LASSO],
    ),
    "cluster/_certify.py": (
        "",
        [*_KMEANS[:-1], "test_defaults.py", _PROOFS],
    ),
    "cluster/_certificate.py": ("", _KMEANS),
    "cluster/_certify_blocks.py": (
        "",
        [
            *_BLOCKS,
            "test_row_blocks.py::test_partitions_of_every_container_are_certified"
            "[of_array]",
            "test_row_blocks.py::test_partitions_in_blocks_say_what_they_need",
        ],
    ),
    "cluster/_data.py": ("", _KMEANS),
    "cluster/_assignment.py": (
        "BoundedAssignment bounded_assignment dual_bound scaled_sizes check_sizes",
        [
            "cluster/test_balanced.py::" + name
            for name in (
                "test_any_prices_bound_every_assignment",
                "test_assignment_is_the_optimum_of_the_linear_program",
                "test_assignment_by_way_of_a_part_of_the_rows_is_exact",
                "test_bad_input",
            )
        ],
    ),
    "cluster/_la_solvers.py": (
        "Affinities _dense_bound",
        ["cluster/test_la_bounds.py"],
    ),
    "cluster/_kmeans1d.py": ("", ["cluster/test_kmeans1d.py"]),
    "cluster/_optimal_levels.py": (
        "",
        [
            _PLAIN,  # what is too short is noticed
            *("cluster/test_kmeans1d.py::" + name for name in _LEVELS),
        ],
    ),
    "sparse/_kernels_codebook.py": (
        "",
        [_PLAIN, *("cluster/test_kmeans1d.py::" + name for name in _LEVELS)],
    ),
    "cluster/_kernels_rows.py": (
        "",
        [
            _PLAIN,
            "cluster/test_kmeans_bounds.py"
            "::test_moments_of_clusters_do_not_depend_on_blocks",
        ],
    ),
    "bayes/_block_kronecker.py": (
        "",
        [
            "bayes/test_block_kronecker.py",
            "test_defaults.py",
        ],
    ),
    "decomposition/_robust_pca.py": (
        "_store _check_params_vs_input",
        [
            "decomposition/test_robust_pca.py::" + name
            for name in (
                "test_the_certificate_is_what_the_solver_left",
                "test_parts_in_single_precision_are_rounded_to_it",
                "test_bad_input_is_explained",
                "test_ranks_and_masks_may_go_as_far_as_the_sides",
                "test_zero_matrix_has_rank_zero",
            )
        ],
    ),
    "transport/_candidates.py": (
        "has_candidates solve_points _coarse_potentials _best nearest_costs start_near "
        "optimize_all pivot_on prove _pairs",
        ["transport/test_candidates.py"],
    ),
    "transport/_margins.py": ("", _TRANSPORT),
    "transport/_exact.py": (
        "solve_exact _gap _with_margins _plan _everywhere _hard_transform",
        [*_TRANSPORT, "transport/test_exact.py"],
    ),
    "transport/_simplex.py": (
        "integer_masses _spread price scan _proved _with_closed _outer",
        [*_TRANSPORT, "transport/test_exact.py"],
    ),
    "transport/_kernels_simplex.py": (
        "is_monge tree_potentials _reduced",
        [_PLAIN, *_TRANSPORT],
    ),
    "transport/_kernels_proof.py": (
        "",
        [
            _PLAIN,
            "transport/test_proof_kernels.py",
            *(
                "transport/test_proofs.py::" + name
                for name in (
                    "test_bounds_of_reduced_costs_are_lower_by_their_rounding",
                    "test_every_row_is_bounded",
                    "test_the_gap_is_what_arcs_cost_beyond_the_lowered_potentials",
                    "test_errors_of_margins_and_their_rounding",
                )
            ),
        ],
    ),
    "transport/_kernels_arcs.py": (
        "cost_of _to_box _bounds _least_of_cells best_arcs point_potentials worst_arcs",
        [_PLAIN, "transport/test_arc_kernels.py"],
    ),
    "transport/_entropic.py": (
        "solve_entropic _last_pass _missing _bounds _certificate",
        [*_TRANSPORT, *_ANSWERS],
    ),
    "transport/_semidual.py": ("rounded _product_cost floor at_floor", _TRANSPORT),
    "transport/_kernels.py": ("rounding_pass column_totals", [_PLAIN, *_TRANSPORT]),
    "transport/_unbalanced.py": (
        "_price _result",
        [*_TRANSPORT, "transport/test_honest_margins.py"],
    ),
    "transport/_symmetric.py": (
        "doubly_stochastic",
        [
            *_TRANSPORT,
            "transport/test_variants.py",
            "transport/test_honest_margins.py",
        ],
    ),
}
_PRELOADED = (
    "cvxpy hypothesis joblib mpmath numba numpy pytest scipy.cluster scipy.linalg "
    "scipy.optimize scipy.sparse.csgraph scipy.spatial scipy.special scipy.stats "
    "sklearn.cluster sklearn.datasets sklearn.decomposition sklearn.linear_model "
    "sklearn.model_selection sklearn.pipeline sklearn.utils.estimator_checks"
).split()


def lines_of(source, names):
    """Return the numbers of the lines of some functions and classes, or None."""
    if not names:
        return None
    found = {
        node.name: range(node.lineno, node.end_lineno + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and node.name in names.split()
    }
    missing = set(names.split()) - set(found)
    if missing:
        raise ValueError(f"no function or class is called {', '.join(missing)}")
    return set().union(*found.values())


def mutants_of(source, names, limit, rng):
    """Return up to `limit` mutated sources, spread over the places of mutation."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    places, lines = [], lines_of(source, names)
    nodes = list(ast_nodes(get_ast(source)))
    for name in sorted(filter(re.compile(_OPERATORS).match, operator_names())):
        operator = get_operator(name)()
        positions = [
            place for node in nodes for place in operator.mutation_positions(node)
        ]
        places += [
            (name, k, place)
            for k, place in enumerate(positions)
            if lines is None or place[0][0] in lines
        ]
    rng.shuffle(places)
    seen, rank = Counter(), {}
    for name, k, place in places:
        rank[name, k] = seen[place]
        seen[place] += 1
    places.sort(key=lambda item: rank[item[0], item[1]])
    chosen = {}
    for name, k, _ in places:
        if len(chosen) >= limit:
            break
        mutated = mutate_code(source, get_operator(name)(), k)
        if mutated is None or mutated == source:
            continue
        with contextlib.suppress(SyntaxError):  # the star of a signature
            if signatures(mutated) == signatures(source):
                chosen.setdefault(mutated, name)
    return list(chosen)


def signatures(source):
    """Return how arguments may be passed to the functions of a source."""
    return [
        (len(node.args.posonlyargs), len(node.args.kwonlyargs))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    ]


def difference(source, mutated):
    """Return the number of the first changed line, the lines and what they became."""
    old, new = source.splitlines(), mutated.splitlines()
    for _, i, end, j, stop in difflib.SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if old[i:end] != new[j:stop]:
            lines = [" ".join(" ".join(t).split()) for t in (old[i:end], new[j:stop])]
            return i + 1, *lines
    raise ValueError("the mutant is the original")


def survives(tree, arguments, limit, keep_bytecode=False):
    """Run the tests in a fork of this process; True if they pass in time."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            os.chdir(tree)
            sys.path.insert(0, str(tree))
            sys.dont_write_bytecode = not keep_bytecode
            resource.setrlimit(resource.RLIMIT_AS, (_GIGABYTES << 30,) * 2)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            if arguments[0] == _PLAIN:
                importlib.import_module("numba").config.DISABLE_JIT = True
                arguments = arguments[1:]
            pytest = importlib.import_module("pytest")
            options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
            code = int(pytest.main([*options, *arguments]))
        finally:
            os._exit(code)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def examine(module, tree, limit, seed, equivalents, report):
    """Return how many mutants of a module were killed, and how many there were."""
    path = tree / "sparsestat" / module
    source = path.read_text(encoding="utf-8")
    scope, tests = MODULES[module]
    names = [t if t == _PLAIN else f"tests/{t}" for t in tests]
    start = time.monotonic()
    if not survives(tree, names, 3600, keep_bytecode=True):
        raise SystemExit(f"{module}: its tests fail without a mutation")
    allowed = 15 + 2 * (time.monotonic() - start)
    killed = total = 0
    for mutated in mutants_of(source, scope, limit, random.Random(f"{seed} {module}")):
        number, old, new = difference(source, mutated)
        if any(e["line"] == old and e.get("mutant", new) == new for e in equivalents):
            continue
        total += 1
        path.write_text(mutated, encoding="utf-8")
        if survives(tree, names, allowed):
            print(f"{module}:{number}\n  - {old}\n  + {new}", file=report, flush=True)
        else:
            killed += 1
    path.write_text(source, encoding="utf-8")
    return killed, total


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="parts of names; all by default")
    parser.add_argument("--mutants", type=int, default=200, help="of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survivors", type=Path, default="mutation-survivors.txt")
    options = parser.parse_args()
    chosen = [
        m
        for m in MODULES
        if not options.modules or any(s in m for s in options.modules)
    ]
    table = tomllib.loads(EQUIVALENTS.read_text(encoding="utf-8"))
    for name in _PRELOADED:
        importlib.import_module(name)
    sums = [0, 0]
    with (
        tempfile.TemporaryDirectory() as folder,
        options.survivors.open("w", encoding="utf-8") as report,
    ):
        tree = Path(folder)
        for part in ("sparsestat", "tests"):
            shutil.copytree(ROOT / part, tree / part)
        for part in ("pyproject.toml", "setup.cfg"):
            shutil.copy2(ROOT / part, tree)
        for module in chosen:
            start = time.monotonic()
            known = table.get("*", []) + table.get(module, [])
            found = examine(module, tree, options.mutants, options.seed, known, report)
            took = time.monotonic() - start
            print(
                f"{module}: {found[0]} of {found[1]} killed ({took:.0f} s)", flush=True
            )
            sums = [a + b for a, b in zip(sums, found, strict=True)]
    print(f"{sums[0]} of {sums[1]} killed; the others are in {options.survivors}")


if __name__ == "__main__":
    main()
