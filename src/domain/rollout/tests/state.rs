use super::super::{MemberState, RolloutAction, RolloutAction::*, RolloutState, RolloutState::*};

#[test]
fn each_action_fits_the_states_it_is_meant_for_and_no_other() {
    let allowed = [
        (Pause, Scheduled, Paused),
        (Pause, Running, Paused),
        (Resume, Paused, Running),
        (Resume, Halted, Running),
        (Cancel, Scheduled, Cancelled),
        (Cancel, Running, Cancelled),
        (Cancel, Paused, Cancelled),
        (Cancel, Halted, Cancelled),
        (Retry, Running, Running),
        (Retry, Paused, Paused),
        (Retry, Halted, Running),
        (Retry, Completed, Running),
    ];
    for action in RolloutAction::ALL {
        for state in RolloutState::ALL {
            let expected = allowed
                .iter()
                .find(|(of, from, _)| (*of, *from) == (action, state))
                .map(|(_, _, to)| *to);
            let became = action.apply(state, 1);
            assert_eq!(became.as_ref().ok().copied(), expected, "{action} {state}");
            if let Err(refusal) = became {
                let begin = format!("the rollout is {state} and cannot {action}: ");
                assert!(refusal.message.starts_with(&begin), "{refusal}");
            }
        }
    }
}

#[test]
fn a_refused_action_has_a_stable_word() {
    for (action, state, code) in [
        (Pause, Halted, "rollout_not_pausable"),
        (Resume, Running, "rollout_not_resumable"),
        (Cancel, Completed, "rollout_ended"),
        (Retry, Cancelled, "rollout_not_retryable"),
    ] {
        assert_eq!(action.apply(state, 1).unwrap_err().code, code);
    }
}

#[test]
fn one_that_was_paused_before_its_first_wave_is_scheduled_again() {
    assert_eq!(Resume.apply(Paused, 0), Ok(Scheduled));
}

#[test]
fn words_of_states_are_read_back() {
    for state in RolloutState::ALL {
        assert_eq!(RolloutState::parse(state.as_str()), Some(state));
    }
    for state in MemberState::ALL {
        assert_eq!(MemberState::parse(state.as_str()), Some(state));
    }
    let live: Vec<_> = RolloutState::ALL
        .into_iter()
        .filter(|state| state.is_live())
        .collect();
    assert_eq!(live, [Scheduled, Running]);
}
