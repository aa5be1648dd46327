/* Operators: workflows/operator/retry_by_hand.py, edit.py, discard.py. What is read and then written as it was read is one step.
 * The sweep: recovery.py, let_go.py, retry_by_hand.finish_sending. */
#define O_SEND 1
#define O_NOTE 2
#define O_FENCE 3
#define O_SETTLE 4
#define O_RESUME 5
#define O_START 6

#define RETRY_BY_HAND(m) \
  :: d_step { pc == 0 && ((ops > 0 && !heal) || to_mend == m) && MENDABLE(m) && redrives[m] + 1 < RM -> \
      if :: to_mend == m -> to_mend = 0 :: else -> ops-- fi; \
      if :: status[m] == QUARANTINED || redrives[m] >= limit[m] -> limit[m] = redrives[m] + MAXRED :: else -> skip fi; \
      redrives[m]++; status[m] = REDRIVEN; trouble[m] = T_SENDING; attempts[m] = 0; mark[m] = BYHAND; redriven_by[m] = 0; leased[m] = 0; \
      mending = m; r = redrives[m]; v = VER(m); pc = O_SEND; promises() }
#define DISCARD(m) \
  :: d_step { pc == 0 && ops > 0 && !heal && (((status[m] == DEAD || status[m] == QUARANTINED || (status[m] == REDRIVEN && trouble[m] == T_DEAD)) && FREE(m)) || (status[m] == PROCESSING && !leased[m] && NOBODY_AT(m))) -> \
      ops--; status[m] = DISCARDED; trouble[m] = 0; leased[m] = 0; body[m] = 0; attempts[m] = 0; total[m] = 0; copies[m] = 0; sqs_id[m] = 0; mark[m] = 0; redriven_by[m] = 0; limit[m] = redrives[m]; w_ids[m] = 0; d_ids[m] = 0; \
      mending = m; r = redrives[m]; pc = O_FENCE; promises() }
#if EDIT
#define EDIT_BODY(m) \
  :: d_step { pc == 0 && ops > 0 && !heal && MENDABLE(m) && !ver[m] -> ops--; ver[m] = 1; limit[m] = redrives[m] + MAXRED }
#endif
inline o_end() { pc = 0; pendo = 0; mending = 0; r = 0; v = 0; g = 0 }

proctype Operator() provided (MAY_MOVE) {
  byte pc, r, g; bit v;
  do
  RETRY_BY_HAND(1) /* @operator.retry */
  DISCARD(1) /* @operator.discard */
#if N > 1
  RETRY_BY_HAND(2) /* @operator.retry */
  DISCARD(2) /* @operator.discard */
#endif
#if N > 2
  RETRY_BY_HAND(3) /* @operator.retry */
  DISCARD(3) /* @operator.discard */
#endif
#if EDIT
  EDIT_BODY(1) /* @operator.edit */
#if N > 1
  EDIT_BODY(2) /* @operator.edit */
#endif
#if N > 2
  EDIT_BODY(3) /* @operator.edit */
#endif
#endif
  :: d_step { /* @world.crash operator */ pc != 0 && crash > 0 -> crash--; o_end() }
  :: d_step { /* @operator.send */ pc == O_SEND -> enq_work(mending, v); w_ids[mending] = w_ids[mending] | (1 << r); pc = O_NOTE; promises() }
  :: d_step { /* @operator.send taken */ pc == O_SEND && ((w_ids[mending] >> r) & 1) -> pc = O_NOTE; promises() }
  :: d_step { /* @operator.note_sent */ pc == O_NOTE -> if :: status[mending] == REDRIVEN && trouble[mending] == T_SENDING && redrives[mending] == r -> trouble[mending] = 0 :: else -> skip fi; o_end(); promises() }
  :: d_step { /* @operator.find */ pc == O_FENCE -> if :: holder == mending -> g = generation; pc = O_SETTLE :: else -> o_end() fi }
  :: d_step { /* @operator.release */ pc == O_SETTLE ->
      if :: holder == mending && generation == g && DRAINED -> no_fence(); o_end()
         :: else -> pc = O_RESUME fi; promises() }
  :: d_step { /* @operator.resume */ pc == O_RESUME ->
      if :: holder == mending && generation == g -> if :: g + 1 >= GM -> bound = 1 :: else -> generation = g + 1; execution = ARN(mending, r, generation); pendo = execution; pc = O_START fi
         :: else -> o_end() fi }
  :: d_step { /* @operator.start */ pc == O_START -> start_execution(ARN(mending, r, g + 1)); o_end() }
  od
}

#define S_ROW 1
#define S_OWNER 2
#define S_RESUME 3
#define S_START 4
inline s_end() { pc = 0; h = 0; g = 0; e = 0; r = 0 }
proctype Sweep() provided (MAY_MOVE) {
  byte pc, h, g, e, r;      /* holder, generation, execution_arn as read; redrives of the holder's row */
  do
  /* of use, or one of those that begin for nothing */
  :: d_step { /* @sweep.fences */ pc == 0 && holder != 0 && !WAITS_ALONE(status[holder]) && !RUNNING(execution) -> h = holder; g = generation; e = execution; pc = S_ROW }
  :: d_step { /* @sweep.fences for nothing */ pc == 0 && holder != 0 && sweeps > 0 -> sweeps--; h = holder; g = generation; e = execution; pc = S_ROW }
  :: d_step { /* @world.crash sweep */ pc != 0 && crash > 0 -> crash--; s_end() }
  :: d_step { /* @sweep.needs_nobody */ pc == S_ROW -> r = redrives[h]; if :: WAITS_ALONE(status[h]) -> s_end() :: else -> pc = S_OWNER fi }
  :: d_step { /* @sweep.has_owner */ pc == S_OWNER -> if :: RUNNING(e) -> s_end() :: else -> e = 0; pc = S_RESUME fi }
  :: d_step { /* @sweep.resume */ pc == S_RESUME -> if :: holder == h && generation == g -> if :: g + 1 >= GM -> bound = 1 :: else -> generation = g + 1; execution = ARN(h, r, generation); pc = S_START fi :: else -> s_end() fi }
  :: d_step { /* @sweep.start */ pc == S_START -> start_execution(ARN(h, r, g + 1)); s_end() }
  od
}

#define RESEND(m) \
  :: d_step { pc == 0 && status[m] == REDRIVEN && trouble[m] == T_SENDING && mending != m -> h = m; r = redrives[m]; v = VER(m); pc = O_SEND }
proctype Resend() provided (MAY_MOVE) {
  byte pc, h, r; bit v;
  do
  RESEND(1) /* @sweep.outgoing */
#if N > 1
  RESEND(2) /* @sweep.outgoing */
#endif
#if N > 2
  RESEND(3) /* @sweep.outgoing */
#endif
  :: d_step { /* @sweep.send */ pc == O_SEND -> enq_work(h, v); w_ids[h] = w_ids[h] | (1 << r); pc = O_NOTE; promises() }
  :: d_step { /* @sweep.send taken */ pc == O_SEND && ((w_ids[h] >> r) & 1) -> pc = O_NOTE }
  :: d_step { /* @sweep.note_sent */ pc == O_NOTE -> if :: status[h] == REDRIVEN && trouble[h] == T_SENDING && redrives[h] == r -> trouble[h] = 0 :: else -> skip fi; pc = 0; h = 0; r = 0; v = 0; promises() }
  od
}
