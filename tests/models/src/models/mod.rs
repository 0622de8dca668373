//! The models. Each says what is explored; `weakened.rs` says what they were seen to find.

mod bin;
mod biased;
mod central;
mod doors;
mod large;
mod mutex;
mod once;
mod pages;
mod threads;

/// All of them, by name.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("once_has_one_winner", once::has_one_winner),
    ("once_is_tried_again", once::is_tried_again),
    ("once_in_a_forked_child", once::in_a_forked_child),
    ("once_held_over_a_fork", once::held_over_a_fork),
    ("mutex_excludes_and_publishes", mutex::excludes_and_publishes),
    ("mutex_without_sleep", mutex::without_sleep),
    ("biased_owner_and_claimer", biased::owner_and_claimer),
    ("biased_claimers_take_turns", biased::claimers_take_turns),
    ("bin_read_while_used", bin::read_while_used),
    ("bin_read_while_refilled", bin::read_while_refilled),
    ("bin_read_while_flushed", bin::read_while_flushed),
    ("central_objects_travel", central::objects_travel),
    ("central_trimmed_meanwhile", central::trimmed_meanwhile),
    ("central_trimmed_in_vain", central::trimmed_in_vain),
    ("threads_attach_and_exit", threads::attach_and_exit),
    ("threads_attach_at_once", threads::attach_at_once),
    ("threads_take_over_caches", threads::take_over_caches),
    ("threads_past_their_exit", threads::past_their_exit),
    ("threads_free_what_others_allocate", threads::free_what_others_allocate),
    ("large_kept_and_swept", large::kept_and_swept),
    ("large_swept_by_two", large::swept_by_two),
    ("large_swept_by_three", large::swept_by_three),
    ("large_taken_ahead_and_swept", large::taken_ahead_and_swept),
    ("large_taken_ahead_by_two", large::taken_ahead_by_two),
    ("large_long_spans_change_hands", large::long_spans_change_hands),
    ("pages_windows", pages::windows),
    ("pages_map_is_read_without_a_lock", pages::map_is_read_without_a_lock),
    ("pages_headers_change_hands", pages::headers_change_hands),
    ("pages_of_groups", pages::of_groups),
    ("pages_of_groups_come_back", pages::chunks_come_back),
    ("pages_of_groups_without_memory", pages::group_without_memory),
    ("pages_scavenged_meanwhile", pages::scavenged_meanwhile),
    ("huge_objects", pages::huge_objects),
];
