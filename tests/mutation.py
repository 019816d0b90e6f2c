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
_STRATA = "linear_model/test_offset_and_strata.py::"
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
    "test_the_largest_of_values_is_that_of_all",
    "test_the_best_start_of_a_cluster_is_the_first_of_the_best",
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
_SOLVERS = "cluster/test_certificates_of_solvers.py::"
_SBL = [
    "bayes/test_measures.py",
    *(
        "bayes/test_sbl.py::" + name
        for name in (
            "test_cost_never_rises_and_is_the_evidence",
            "test_orthonormal_columns_have_the_closed_form",
            "test_the_iteration_limit_warns_once_with_the_numbers",
            "test_constant_targets_give_zeros_in_silence",
            "test_compressing_many_targets_changes_nothing",
            "test_the_cost_counts_weights_like_repetitions",
            "test_collapsed_noise_is_warned_about_once",
        )
    ),
]
_BEST_MOVE = [
    "bayes/test_measures.py::test_the_best_move_is_that_of_the_closed_form",
    "bayes/test_measures.py::test_the_best_move_of_one_variance",
    "bayes/test_measures.py::test_active_columns_have_the_sums_of_their_posterior",
]
_COFEM = [
    "bayes/test_sbl.py::" + name
    for name in (
        "test_cofem_approaches_exact_expectation_maximization",
        "test_cofem_is_reproducible_and_warns_about_conjugate_gradients",
        "test_probes_of_cofem_average_their_errors_away",
        "test_the_history_of_cofem_is_what_its_certificate_shows",
    )
]
_CLASSES = [
    "bayes/test_measures.py::test_one_more_update_of_classes",
    *(
        "bayes/test_sbl_classifier.py::" + name
        for name in (
            "test_coefficients_are_the_posterior_mode",
            "test_the_mode_of_several_classes_is_that_of_a_general_optimizer",
            "test_posterior_variances_and_evidence_are_dense_algebra",
            "test_separable_classes_stay_finite_and_labels_are_kept",
            "test_noise_alone_gives_frequencies",
            "test_what_is_below_the_limit_is_dropped",
            "test_the_iteration_limit_warns_once",
        )
    ),
]
_KRONECKER = [
    "bayes/test_kronecker.py::" + name
    for name in (
        "test_certificate_is_recomputed_from_outside",
        "test_rank_one_steps_that_climb_are_not_certified",
        "test_learned_noise_of_what_is_all_explained_is_doubted",
        "test_the_change_is_that_of_the_outer_products",
        "test_the_start_of_lowest_cost_is_returned",
        "test_warnings_name_the_numbers",
        "test_e_step_equals_dense_algebra",
        "test_cost_never_rises",
        "test_one_factor_is_sbl_regressor",
        "test_fit_equals_dense_algebra",
        "test_zero_targets_give_zeros_in_silence",
    )
]
_DECOMPOSITION = "decomposition/test_measures.py::"
_CODED = [
    *(
        _DECOMPOSITION + name
        for name in (
            "test_a_likelihood_rests_when_its_relative_change_is_at_most_the_tolerance",
            "test_every_step_is_reported_but_the_start",
            "test_steps_that_overshoot_are_halved",
            "test_the_change_is_between_likelihoods_of_temperature_one",
            "test_batches_by_brute_force",
            "test_log_likelihoods_are_those_of_the_units_of_the_data",
            "test_only_all_causes_together_are_exact",
            "test_the_last_change_of_the_likelihood",
            "test_batches_report_the_change_between_them",
            "test_batches_whose_likelihood_is_near_zero",
        )
    ),
    "decomposition/test_sparse_coding.py"
    "::test_no_convergence_is_warned_about_with_the_numbers",
]
_ROTATED = [
    _DECOMPOSITION + "test_rises_moves_and_gaps_of_orthogonal_dictionaries",
    _DECOMPOSITION + "test_the_gap_of_the_last_batch",
    _DECOMPOSITION + "test_the_gap_before_the_last_step_is_kept",
    _DECOMPOSITION + "test_blocks_of_rows_and_small_values_change_no_rise",
    _DECOMPOSITION + "test_samples_without_weight_have_no_objective",
    _DECOMPOSITION + "test_a_rise_ends_at_the_tolerance",
    _DECOMPOSITION + "test_the_best_of_all_starts_is_certified",
    _DECOMPOSITION + "test_what_is_left_out_of_a_whitening_and_of_a_second_fit",
    "decomposition/test_orthogonal.py::test_certificate_can_be_recomputed",
    "decomposition/test_orthogonal.py::test_zero_data_keep_the_start",
]
_SUPERVISED = [
    _DECOMPOSITION + "test_the_largest_of_the_last_falls",
    _DECOMPOSITION + "test_falls_of_supervised_dictionaries",
    _DECOMPOSITION + "test_labels_alone_are_certified_by_their_bound_or_slope",
    _DECOMPOSITION + "test_bound_and_slope_of_labels_that_are_not_solved",
    _DECOMPOSITION + "test_lower_bounds_of_both_parts_are_below_by_their_rounding",
    _DECOMPOSITION + "test_labels_that_cost_nothing_have_neither_gap_nor_slope",
    _DECOMPOSITION + "test_descent_by_blocks_keeps_signs_and_the_size_of_one_factor",
    _DECOMPOSITION + "test_sparse_data_have_the_bounds_of_dense_ones",
    *(
        "decomposition/test_supervised.py::" + name
        for name in (
            "test_the_lower_bound_is_the_sum_of_both_optima",
            "test_without_a_bound_on_the_rank_the_convex_optimum_is_reached",
            "test_the_objective_never_rises_and_is_that_of_the_factors",
        )
    ),
]
_PROCESSES = "gaussian_process/test_measures.py::"
_ASCENTS = [
    _PROCESSES + name
    for name in (
        "test_slopes_out_of_the_bounds_do_not_count",
        "test_the_slope_is_that_of_the_point_that_is_returned",
        "test_points_without_a_value_are_not_returned",
        "test_the_best_point_seen_is_the_highest",
        "test_rises_are_integrals_of_the_gradients_from_one_iterate_to_the_next",
        "test_values_that_never_change_spend_all_iterations",
        "test_many_steps_are_taken_as_long_as_they_gain",
        "test_the_best_of_all_starts_is_kept",
        "test_certificates_of_an_evidence",
        "test_sparse_processes_certify_where_they_ended",
    )
]
_DEEP = [
    "gaussian_process/test_measures.py",
    *(
        "gaussian_process/test_deep_kernel_machines.py::" + name
        for name in (
            "test_gradients_are_those_of_differences",
            "test_rows_that_carry_the_layers_give_the_dense_objective",
            "test_one_block_of_rows_or_many_with_or_without_memory",
            "test_the_certificate_is_the_gradient_at_the_answer",
            "test_what_is_unbounded_is_refused_by_name",
            "test_more_points_than_samples_are_lowered_with_a_warning",
            "test_no_layers_and_all_rows_are_a_gaussian_process",
            "test_batches_come_near_the_full_ascent",
        )
    ),
]
_SPECTRA = [
    _PROCESSES + name
    for name in (
        "test_slopes_of_the_noise_count_rows_that_were_joined",
        "test_residuals_are_the_largest_violation",
        "test_the_scale_of_the_noise_is_positive",
        "test_the_best_point_is_measured_again_where_it_was_pruned",
        "test_spectral_fits_are_measured_in_any_unit",
        "test_spectral_fits_of_several_targets_are_measured_in_any_unit",
        "test_constant_targets_of_mixtures_are_exact",
        "test_targets_that_vary_only_between_repetitions_are_noise",
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
    "linear_model/_penalized/_steps.py": ("", _FITS),
    "linear_model/_penalized/_problems.py": (
        "given _add_storage_error certificate dual_gaps measures start_of "
        "coef_unit alpha_unit alpha_max _are_proved _residual_square",
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
    "linear_model/_penalized/_kernels_concave_path.py": (
        "_slope _value _violation concave_path",
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
        [
            *_KERNELS,
            "linear_model/test_likelihood_path.py::"
            "test_single_fits_in_one_call_are_those_of_working_sets",
        ],
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
        [
            *_PROBLEMS,
            _STRATA + "test_problems_of_survival_by_hand",
            _STRATA + "test_an_offset_is_a_feature_with_the_coefficient_one",
            _STRATA + "test_cross_validation_takes_the_offsets_of_its_rows",
            *(
                "linear_model/test_glm.py::" + name
                for name in (
                    "test_alpha_max_gives_zero_and_just_below_one_nonzero",
                    "test_certificate_is_the_gap_measured_outside",
                    "test_mcp_is_stationary_and_unshrunk",
                    "test_groups_agree_with_cvxpy",
                    "test_bad_targets_are_refused_kindly",
                    "test_only_classes_and_bounded_penalties_are_told_of_separation",
                    "test_single_precision_is_close_and_kept",
                    "test_warm_start_stops_at_once_and_adapts_to_another_problem",
                    "test_path_points_are_the_single_fits",
                    "test_cross_validation_chooses_the_least_loss_whatever_n_jobs",
                    "test_huber_converges_where_targets_are_far_from_its_knots",
                    "test_paths_can_be_drawn",
                )
            ),
        ],
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
    "linear_model/_penalized/_survival_problem.py": (
        "",
        [
            _STRATA + "test_problems_of_survival_by_hand",
            _STRATA + "test_units_of_features_reach_the_losses_and_hazards_of_survival",
            _STRATA + "test_survival_functions_of_strata",
            *(
                "linear_model/test_cox.py::" + name
                for name in (
                    "test_solution_satisfies_kkt",
                    "test_objectives_and_paths_with_weights_are_those_of_repeated_rows",
                    "test_cross_validation_uses_the_held_out_partial_likelihood",
                    "test_survival_functions_fall_from_one_and_follow_the_risk",
                    "test_survival_does_not_depend_on_where_the_features_are",
                    "test_heavy_weights_take_no_memory_and_have_a_limit",
                    "test_bad_targets_are_refused_kindly",
                )
            ),
        ],
    ),
    "linear_model/_penalized/_survival_targets.py": (
        "with_events stratum_numbers concordance_index",
        [
            "linear_model/test_cox.py::test_times_without_events_were_all_seen",
            "linear_model/test_cox.py::test_concordance_counts_pairs",
            "linear_model/test_cox.py::test_concordance_of_light_pairs_and_of_none",
            _STRATA + "test_survival_functions_of_strata",
        ],
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
    "inference/_debiased.py": (
        "corrected_pvalues fit _noise _least_squares _store _certify",
        [
            "inference/test_debiased.py::" + name
            for name in (
                "test_the_certificate_says_what_the_parts_left",
                "test_corrected_pvalues_from_their_definitions",
                "test_estimates_are_the_lasso_plus_one_step",
                "test_without_penalty_it_is_least_squares",
                "test_units_and_shifts_are_carried_through",
                "test_a_noise_level_without_degrees_of_freedom_is_refused",
                "test_bad_input_is_named",
            )
        ],
    ),
    "inference/_knockoffs.py": (
        "_select _certify",
        [
            "inference/test_knockoffs.py::" + name
            for name in (
                "test_selections_are_those_of_thresholds_and_e_values",
                "test_what_keeps_everything_out_is_said",
                "test_certificates_say_what_their_bound_rests_on",
                "test_fixed_knockoffs_are_of_the_training_data",
            )
        ],
    ),
    "inference/_scaled_lasso.py": (
        "fit _store",
        [
            "inference/test_debiased.py::" + name
            for name in (
                "test_the_scaled_lasso_says_what_is_left_in_the_units_of_the_target",
                "test_a_gap_beside_the_tolerance_is_seen",
                "test_a_constant_target_has_no_noise",
            )
        ],
    ),
    "inference/_stability.py": (
        "_store _certify _get_support_mask _halves",
        [
            "inference/test_stability.py::" + name
            for name in (
                "test_certificates_say_what_was_counted_and_asked",
                "test_halves_are_disjoint_pairs_of_equal_size",
                "test_halves_keep_the_shares_of_classes",
                "test_repeated_rows_kept_together_are_weights",
                "test_fits_that_fall_short_are_counted_and_said_once",
                "test_too_few_groups_or_weights_are_named",
                "test_bad_input_is_named",
            )
        ],
    ),
    "linear_model/_subsets/_search.py": (
        "_exact _exact_triangular _exact_one _bound",
        ["linear_model/test_best_subset.py"],
    ),
    "linear_model/_subsets/_likelihoods.py": (
        "fit _newton _newton_step _hessian coefficients loss_of least_value "
        "_deviances loss_error",
        [
            "linear_model/test_best_subset_models.py::" + name
            for name in (
                "test_poisson_agrees_with_enumeration",
                "test_classes_that_are_separated_have_no_best_subset_without_a_ridge",
                "test_counts_of_zero_on_one_side_have_no_best_subset_without_a_ridge",
                "test_newton_says_what_is_left_to_save",
                "test_large_counts_of_near_copies_are_told_apart_or_not_claimed",
                "test_bounds_of_the_rounding_of_losses_are_sums_of_their_terms",
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
    "linear_model/_graphs/_walks.py": (
        "",
        [
            "linear_model/test_graph_labels.py::" + name
            for name in (
                "test_walks_measure_what_every_node_lacks",
                "test_walks_that_have_not_come_everywhere_lack_all_of_it",
                "test_walks_that_a_callback_ends_stop_at_once",
                "test_walks_solve_their_system",
                "test_walks_are_exact_far_from_all_labels_too",
            )
        ],
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
    "cluster/_admm.py": (
        "dual_bound solve_admm capped_simplex _adapt",
        [
            "cluster/test_sdp_kmeans.py::test_projection_on_the_capped_simplex",
            _SOLVERS + "test_the_dense_solver_stops_when_it_says",
            _SOLVERS + "test_the_dual_bound_is_that_of_the_projected_matrix",
            _SOLVERS + "test_the_dense_solver_reports_and_may_be_stopped",
            _SOLVERS + "test_the_allowance_of_the_dense_solver_is_that_of_its_products",
            "cluster/test_sdp_kmeans.py::test_an_unconverged_solver_gives_a_valid_bound",
        ],
    ),
    "cluster/_sdp_search.py": (
        "offer auto admm_options keep_dense nlr low_rank_options bounds finish certify",
        [
            _SOLVERS + "test_partitions_without_a_bound_have_the_trivial_one",
            _SOLVERS + "test_low_rank_certificates_are_those_of_the_best_start",
            _SOLVERS + "test_auto_says_how_far_the_relaxation_was_solved",
            _SOLVERS + "test_a_cheaper_partition_keeps_the_bound_that_was_proved",
            _SOLVERS + "test_other_solvers_are_followed_by_the_relaxation",
        ],
    ),
    "cluster/_sdp_kmeans.py": (
        "_store _store_certificate",
        [
            _SOLVERS + "test_partitions_without_a_bound_have_the_trivial_one",
            _SOLVERS + "test_low_rank_certificates_are_those_of_the_best_start",
            _SOLVERS + "test_auto_says_how_far_the_relaxation_was_solved",
        ],
    ),
    "cluster/_la_alternation.py": (
        "_solve_and_keep _prove keep_together _rounded _relative_change",
        [
            _SOLVERS + "test_alternations_settle_where_likelihoods_stand_still",
            _SOLVERS + "test_the_likeliest_labels_and_their_bound_are_kept",
            _SOLVERS + "test_one_cluster_has_the_likelihood_of_its_gaussian",
            _SOLVERS + "test_the_tighter_bound_and_the_likelier_labels_are_kept",
            _SOLVERS + "test_equal_points_are_kept_together_at_their_likelihood",
            _SOLVERS + "test_likelihoods_are_bounded_by_the_relaxation",
        ],
    ),
    "cluster/_la_sdp.py": (
        "_store",
        [
            _SOLVERS + "test_one_cluster_has_the_likelihood_of_its_gaussian",
            _SOLVERS + "test_equal_points_are_kept_together_at_their_likelihood",
            _SOLVERS + "test_likelihoods_are_bounded_by_the_relaxation",
        ],
    ),
    "cluster/_packing.py": (
        "check_capacity packed_assignment",
        [
            "cluster/test_balanced.py::" + name
            for name in (
                "test_packings_are_bounded_by_their_prices",
                "test_packings_fit_and_are_bounded_by_enumeration",
                "test_limits_that_cannot_be_met_are_refused",
                "test_loads_that_cannot_be_packed_are_refused",
            )
        ],
    ),
    "cluster/_balanced.py": (
        "_store _Limits _alternate",
        [
            "cluster/test_balanced.py::" + name
            for name in (
                "test_a_rise_of_the_cost_is_no_convergence",
                "test_what_was_proved_is_in_the_units_of_the_data",
                "test_clusters_without_samples_start_again_far_from_all",
                "test_assignments_are_proved_in_units_of_a_load",
                "test_gaps_of_assignments_are_never_negative",
                "test_bounds_that_do_not_bind_give_k_means",
                "test_empty_clusters_are_possible_only_if_allowed",
                "test_every_iteration_is_logged",
                "test_limits_that_cannot_be_met_are_refused",
                "test_scale_of_weights_changes_only_units",
                "test_complex_data_are_refused_and_stopping_early_warns",
            )
        ],
    ),
    "cluster/_laplacian.py": (
        "_alternate _report _change",
        [
            "cluster/test_laplacian.py::" + name
            for name in (
                "test_a_rise_of_the_energy_is_no_convergence",
                "test_alternations_end_where_the_energy_stands_still",
                "test_without_a_tolerance_alternations_end_where_nothing_changes",
                "test_memberships_are_rough_while_prototypes_travel",
                "test_clusters_that_lose_all_samples_start_again_far_away",
                "test_clusters_that_a_graph_joins_are_announced",
                "test_without_graph_and_entropy_it_is_k_means",
                "test_more_passes_between_prototypes_go_further",
                "test_fewer_distinct_points_than_clusters_warn",
                "test_stopping_early_warns_once_with_the_numbers",
            )
        ],
    ),
    "cluster/_laplacian_energy.py": (
        "energy",
        ["cluster/test_laplacian.py::test_one_pass_is_that_of_dense_numpy"],
    ),
    "cluster/_kernels_laplacian.py": (
        "energy_terms _gather _softmax sweep jacobi_rows plain_softmax",
        [
            _PLAIN,
            "cluster/test_laplacian.py::test_one_pass_is_that_of_dense_numpy",
            "cluster/test_laplacian.py::test_the_decrease_a_sweep_reports_is_the_decrease",
        ],
    ),
    "cluster/_coding_rate.py": (
        "coding_rate rate_slopes descend",
        [
            "cluster/test_subspace.py::" + name
            for name in (
                "test_a_rise_of_the_rate_is_no_convergence",
                "test_slopes_are_finite_differences_of_the_rate",
                "test_both_sides_of_the_gram_matrix_agree",
                "test_the_rate_never_rises_and_labels_are_a_fixed_point",
                "test_one_cluster_has_the_rate_of_all_rows",
            )
        ],
    ),
    "cluster/_coding_maps.py": (
        "affinity_rate descend_affinity mapped_rows rate_reduction",
        [
            "cluster/test_subspace.py::" + name
            for name in (
                "test_a_rise_of_the_rate_is_no_convergence",
                "test_slopes_of_the_affinity_are_finite_differences",
                "test_slopes_of_the_map_are_finite_differences",
            )
        ],
    ),
    "cluster/_subspace.py": (
        "_learn_map _report _code_length _spectrum _basis",
        [
            "cluster/test_subspace.py::" + name
            for name in (
                "test_a_map_that_was_moved_once_has_not_converged",
                "test_code_lengths_count_labels_subspaces_and_rows",
                "test_certificates_say_what_last_changed",
                "test_a_map_to_all_dimensions_is_a_rotation",
            )
        ],
    ),
    "cluster/_partitive.py": (
        "_store",
        [
            "cluster/test_partitive.py::" + name
            for name in (
                "test_the_certificate_is_that_of_the_mixture",
                "test_one_gaussian_is_one_cluster_and_says_so",
                "test_a_mixture_that_stops_early_is_announced",
            )
        ],
    ),
    "cluster/_doubly_stochastic.py": (
        "_costs _unit _log_affinities",
        [
            "cluster/test_subspace.py::" + name
            for name in (
                "test_the_affinity_has_the_form_that_its_strength_says",
                "test_costs_of_subspaces_are_minus_squared_cosines",
                "test_precomputed_costs_have_units_of_their_own",
                "test_precomputed_affinities_are_scaled_as_they_are",
                "test_affinities_that_cannot_be_scaled_are_refused",
            )
        ],
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
    "sparse/_kernels_spgemm.py": (
        "count_products _row_work bound_entries cut_rows symbolic_rows",
        [
            _PLAIN,
            "sparse/test_sparse_products.py"
            "::test_bounds_of_entries_are_those_of_products_and_spans",
        ],
    ),
    "cluster/_kernels_rows.py": (
        "",
        [
            _PLAIN,
            "cluster/test_kmeans_bounds.py"
            "::test_moments_of_clusters_do_not_depend_on_blocks",
        ],
    ),
    "bayes/_sbl.py": (
        "_finish _fit_cofem _nothing _alone",
        [*_SBL, "bayes/test_noise_and_kernels.py::test_one_sample_has_a_spread"],
    ),
    "bayes/_evidence.py": (
        "posterior compress_rows compress_targets variance_step maximize_evidence "
        "_noise_step refuses",
        _SBL,
    ),
    "bayes/_fast.py": (
        "refresh lost_share look_closely _gain_in_doubt largest_gain dof residual cost "
        "maximize_evidence_fast",
        _SBL,
    ),
    "bayes/_kernels_fast.py": ("best_move keep_digits", [_PLAIN, *_BEST_MOVE]),
    "bayes/_cofem.py": (
        "conjugate_gradients _relative maximize_evidence_cofem",
        [*_SBL, *_COFEM],
    ),
    "bayes/_inverse_free.py": (
        "solve_inverse_free",
        [
            "bayes/test_measures.py",
            *(
                "bayes/test_inverse_free.py::" + name
                for name in (
                    "test_fixed_precisions_give_the_ridge_solution",
                    "test_orthonormal_columns_have_the_closed_form",
                    "test_the_bound_never_rises_without_momentum",
                    "test_a_majorizer_that_is_too_small_is_raised",
                    "test_all_updates_rest_at_the_end",
                    "test_limits_warn_and_constant_targets_do_not",
                )
            ),
        ],
    ),
    "bayes/_linear.py": ("_report_change warn_if_collapsed", _SBL),
    "bayes/_laplace.py": (
        "Likelihood _blocks _mode _reduce maximize_laplace_evidence",
        _CLASSES,
    ),
    "bayes/_sbl_classifier.py": ("_certify", _CLASSES),
    "bayes/_kronecker.py": ("_compress e_step change_to maximize", _KRONECKER),
    "bayes/_kronecker_many.py": ("e_step relative_change", _KRONECKER),
    "bayes/_kernels_kronecker.py": ("e_step relative_change", [_PLAIN, *_KRONECKER]),
    "bayes/_kronecker_base.py": ("_report", _KRONECKER),
    "bayes/_block_kronecker.py": (
        "",
        [
            "bayes/test_block_kronecker.py",
            "test_defaults.py",
        ],
    ),
    "neighbors/_kernels_search.py": (
        "",
        [
            _PLAIN,
            *(
                "neighbors/test_sparse_neighbors.py::" + name
                for name in (
                    "test_bounds_are_sums_over_common_coordinates",
                    "test_the_largest_coordinates_are_those_of_sorting",
                    "test_products_of_a_document",
                    "test_lists_keep_the_best_and_of_equal_ones_the_first",
                    "test_documents_outside_their_bound_are_not_scored_and_none_is_"
                    "missed",
                    "test_a_document_is_not_its_own_neighbor",
                    "test_a_graph_of_few_documents_is_searched_once",
                    "test_the_best_document_is_not_lost_by_rounding",
                    "test_blocks_whose_summary_shares_nothing_are_passed_over",
                )
            ),
        ],
    ),
    "decomposition/_semi_nmf.py": (
        "_alternate _finish _distance",
        [
            _DECOMPOSITION + "test_the_last_change_of_semi_nmf",
            _DECOMPOSITION + "test_a_rise_of_the_error_is_not_convergence",
            _DECOMPOSITION + "test_semi_nmf_of_an_exact_product_and_of_zeros",
            _DECOMPOSITION + "test_distances_go_through_all_blocks_of_rows",
            "decomposition/test_semi_nmf.py",
        ],
    ),
    "decomposition/_calibrated.py": (
        "fit _code",
        [
            _DECOMPOSITION + "test_the_last_fall_of_calibrated_factors",
            _DECOMPOSITION + "test_calibrated_factors_of_zeros_are_exact",
            "decomposition/test_calibrated.py",
        ],
    ),
    "decomposition/_semi_structured.py": (
        "fit",
        [
            _DECOMPOSITION + "test_the_last_fall_of_three_factors",
            _DECOMPOSITION + "test_a_sweep_that_gains_nothing_is_the_last",
            _DECOMPOSITION + "test_rounding_never_raises_a_loss",
            "decomposition/test_semi_structured.py",
        ],
    ),
    "decomposition/_factors/_semi_structured_fit.py": (
        "factorize",
        [
            _DECOMPOSITION + "test_the_last_fall_of_three_factors",
            _DECOMPOSITION + "test_a_sweep_that_gains_nothing_is_the_last",
            _DECOMPOSITION + "test_rounding_never_raises_a_loss",
            "decomposition/test_semi_structured.py",
        ],
    ),
    "decomposition/_sparse_coding.py": ("partial_fit", _CODED),
    "decomposition/_sparse_coding_base.py": ("_per_unit _keep _certify", _CODED),
    "decomposition/_coding/_expectation_truncation.py": ("run_em", _CODED),
    "decomposition/_orthogonal_batch.py": ("fit", _ROTATED),
    "decomposition/_orthogonal_online.py": ("_finish", _ROTATED),
    "decomposition/_orthogonal/_frank_wolfe.py": (
        "maximize_lp frank_wolfe_gap lp_gradient",
        _ROTATED,
    ),
    "decomposition/_supervised_dictionary.py": (
        "_solve _store _lower_bound",
        _SUPERVISED,
    ),
    "decomposition/_low_rank/_supervised.py": (
        "_recent_fall labels_alone loss slopes squared_norm",
        _SUPERVISED,
    ),
    "decomposition/_low_rank/_split.py": (
        "principal_component_pursuit _dual_bound _empty in_units",
        [
            "decomposition/test_robust_pca.py::" + name
            for name in (
                "test_both_sides_of_the_gap_are_those_of_what_is_returned",
                "test_a_pursuit_that_is_stopped_has_not_converged",
                "test_dual_points_are_scaled_into_both_balls",
                "test_units_of_the_parts_of_zeros_and_of_others",
            )
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
    "gaussian_process/_kernel_gp.py": (
        "_fit _store_noise _known_noise _standardize _rounding",
        [
            "gaussian_process/test_measures.py",
            "gaussian_process/test_row_noise.py",
            "gaussian_process/test_sparse_gp.py"
            "::test_normalized_targets_shift_and_scale_with_the_data",
            "gaussian_process/test_defaults.py"
            "::test_the_bound_of_the_noise_is_raised_until_the_gradient_is_not_rounding",
            "gaussian_process/test_defaults.py::test_bounds_of_noise_that_were_given_"
            "stay",
            "gaussian_process/test_defaults.py"
            "::test_targets_without_noise_are_fitted_to_the_tolerance"
            "[float64-1.0-SparseGPRegressor]",
        ],
    ),
    "gaussian_process/_sparse_gp.py": (
        "_objective _noise_share _settle _settle_heavy _store_noise _store _rounding",
        [
            "gaussian_process/test_measures.py",
            *(
                "gaussian_process/test_sparse_gp.py::" + name
                for name in (
                    "test_data_as_inducing_points_give_the_exact_process",
                    "test_bounds_hold_for_the_other_methods",
                    "test_the_factors_are_those_of_the_formulas",
                    "test_points_stay_where_they_are_unless_they_are_optimized",
                )
            ),
            "gaussian_process/test_heavy_tails.py",
        ],
    ),
    "gaussian_process/_sparse_gp_classifier.py": (
        "partial_fit _fit _bounds",
        [
            "gaussian_process/test_measures.py",
            "gaussian_process/test_svgp.py::test_classes_of_a_stream_are_named_at_first",
            "gaussian_process/test_svgp.py::test_what_does_not_fit_is_refused_by_name",
        ],
    ),
    "gaussian_process/_deep_kernel_machines.py": (
        "_learn",
        _DEEP,
    ),
    "gaussian_process/_kernel/_ascent.py": (
        "projected climb _Seen _Rises _search",
        [
            *_ASCENTS,
            "gaussian_process/test_defaults.py"
            "::test_rounded_values_do_not_stop_an_ascent",
            "gaussian_process/test_defaults.py"
            "::test_an_ascent_that_a_callback_ends_goes_no_further",
        ],
    ),
    "gaussian_process/_kernel/_evidence.py": (
        "maximize_evidence _climb raise_noise _hides evidence_certificate",
        [
            *_ASCENTS,
            "gaussian_process/test_defaults.py::test_the_bound_of_the_noise_is_raised_"
            "until_the_gradient_is_not_rounding",
        ],
    ),
    "gaussian_process/_kernel/_inducing.py": (
        "_taken _bounds sums_of_rows state_of_sums exact_evidence evaluate",
        [
            "gaussian_process/test_measures.py"
            "::test_slopes_of_several_targets_are_those_of_differences",
            "gaussian_process/test_sparse_gp.py",
            "gaussian_process/test_row_noise.py",
        ],
    ),
    "gaussian_process/_spectral/_solvers.py": (
        "examine scale residual _record left solution",
        _SPECTRA,
    ),
    "gaussian_process/_spectral_base.py": (
        "_store_if_constant _store_solution _likelihood _per_unit _store_certificate",
        _SPECTRA,
    ),
    "gaussian_process/_spectral/_consensus.py": (
        "quantize message_bits nearest_root _allowed",
        [
            "gaussian_process/test_distributed_mixture.py::" + name
            for name in (
                "test_quantizer_is_unbiased_and_close",
                "test_the_step_of_an_agent_is_the_root_of_its_cubic",
                "test_the_residual_is_that_of_the_agreement_that_is_returned",
                "test_bits_are_those_of_all_messages",
                "test_agents_with_equal_rows_agree_at_once",
                "test_residuals_fall_below_what_the_tolerance_allows",
                "test_rounding_costs_little_and_saves_bits",
                "test_one_agent_is_the_central_fit",
            )
        ],
    ),
    "gaussian_process/_distributed_mixture.py": (
        "_store",
        [
            _PROCESSES + "test_what_agents_agreed_on_is_stored_but_for_what_weighs_"
            "nothing",
            _PROCESSES + "test_agents_say_how_far_their_agreement_is_from_stationary",
            "gaussian_process/test_distributed_mixture.py"
            "::test_small_weights_are_pruned",
            "gaussian_process/test_distributed_mixture.py::test_joined_predictions",
            "gaussian_process/test_distributed_mixture.py"
            "::test_joined_predictions_are_those_of_dense_posteriors",
        ],
    ),
    "gaussian_process/_variational/_deep_evidence.py": (
        "gaussian_evidence titsias __init__ start _unpack _evaluate _exact _collapsed "
        "_passed _classes on_batch Slopes",
        _DEEP,
    ),
    "gaussian_process/_variational/_deep_fit.py": (
        "fit_deep _climb _stochastic",
        _DEEP,
    ),
    "gaussian_process/_variational/_svgp.py": (
        "divergence _divergence_from marginals _target settle _distance",
        [
            "gaussian_process/test_svgp.py::" + name
            for name in (
                "test_divergences_are_those_of_their_formula",
                "test_one_step_of_length_one_is_the_bound_of_titsias",
                "test_no_step_lowers_the_bound",
                "test_the_first_step_is_of_length_one_where_the_bound_rises",
                "test_extrapolated_steps_settle_sooner",
                "test_where_steps_settle_nothing_is_higher",
                "test_normal_targets_in_a_stream_are_as_at_once",
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
    "transport/_kernels_points.py": ("", [_PLAIN, "transport/test_cell_kernels.py"]),
    "transport/_distances.py": (
        "_sorted_distance sinkhorn_divergence",
        [
            "transport/test_variants.py::" + name
            for name in (
                "test_quantiles_are_matched_by_hand",
                "test_distance_on_the_line_equals_the_program",
                "test_divergence_is_made_of_three_problems",
                "test_divergence_is_certified_by_the_worst_of_three_problems",
                "test_divergence_is_zero_for_equal_measures_and_positive_otherwise",
            )
        ],
    ),
    "transport/_partial.py": (
        "partial_transport _rest",
        [
            "transport/test_partial.py::test_plans_come_as_asked_and_masses_are_within_"
            "rounding",
            "transport/test_partial.py::test_partial_plans_are_optimal",
            "transport/test_partial.py::test_bad_input_is_refused_in_words",
        ],
    ),
    "transport/_barycenter.py": (
        "_moving _scaled",
        [
            "transport/test_barycenter.py::" + name
            for name in (
                "test_free_points_stand_still_when_their_objective_does",
                "test_histograms_are_measured_against_the_barycenter_that_is_returned",
                "test_one_measure_is_its_own_barycenter",
                "test_far_images_do_not_underflow",
                "test_points_that_are_far_beside_the_others_do_not_underflow",
                "test_small_strengths_give_the_linear_program",
                "test_gaussians_have_a_gaussian_between_them",
            )
        ],
    ),
    "transport/_estimators.py": (
        "fit score",  # fit is that of the last class
        [
            "transport/test_transport_estimators.py::" + name
            for name in (
                "test_scores_are_costs_of_the_plan_of_new_samples",
                "test_an_affinity_has_the_strength_of_its_median_cost",
                "test_affinity_of_a_given_perplexity",
            )
        ],
    ),
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
