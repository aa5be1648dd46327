/* The retry machine, statemachines/retry.asl.json, and its function, workflows/retry.py:process.
 *
 * A try is an attempt number, given once by GuardLoop or PromoteParked. The function takes the row for that number, under a
 * lease longer than it can live. Whatever begins another life of the message, or ends all, waits for the lease.
 */
/* Of execution x: where it is, holder, generation, the parked message that is next, attempts_total as read or given, copies and the body as read */
#define pc xpc[x]
#define h xh[x]
#define g xg[x]
#define p xp[x]
#define a xa[x]
#define k xk[x]
#define v xv[x]

#ifdef MUTANT_OWNER
#define MINE (holder != 0)
#else
#define MINE (holder == h && generation == g)
#endif
/* attempts_total grows with every claim and every try: with it, status names one life of the message */
#ifdef MUTANT_MARK_ATTEMPT
#define MAY_MARK (status[h] == RETRYING && copies[h] == k)
#else
#define MAY_MARK (status[h] == RETRYING && total[h] == a && copies[h] == k)
#endif
#define MAY_COUNT (status[h] == RETRYING && attempts[h] < MAXATT && total[h] == a)
#ifdef MUTANT_CLAIM
#define MAY_TRY(m, n) 1
#else
/* with the attempt, an older execution costs no try of another's; the body is the row's in any case */
#define MAY_TRY(m, n) (status[m] == RETRYING && total[m] == n)
#endif
/* A lease is given back only by the function that took it last, and only if none ran when it did: another may be at it */
#define STRAY 9
#ifdef MUTANT_GIVE_BACK
#define MAY_GIVE_BACK(m) 1
#else
#define MAY_GIVE_BACK(m) sole[m]
#endif

#define AT_WORK (pc == X_PROCESS || pc == X_PROCESSED)
inline f_end() { functions[h]--; if :: taker[h] == x + 1 -> taker[h] = 0; sole[h] = 0 :: else -> skip fi }      /* nobody gives this lease back */
inline x_end() { if :: AT_WORK -> f_end() :: else -> skip fi;
  running[x] = 0; asleep[x] = 0; pc = 0; h = 0; g = 0; p = 0; v = 0; a = 0; k = 0; urgent = 0; in_order() }
inline promote() { holder = p; waiting--; execution = running[x]; del_parked(p); status[p] = RETRYING; body[p] = 1; attempts[p] = 1; total[p]++; final[p] = 0 }
inline take_lease(m, who) { sole[m] = !leased[m]; leased[m] = 1; taker[m] = who }
inline note_failed(m, n, f, who) {
  if :: status[m] == RETRYING && total[m] == n && taker[m] == who -> final[m] = f;
        if :: MAY_GIVE_BACK(m) -> leased[m] = 0; taker[m] = 0; sole[m] = 0 :: else -> skip fi
     :: else -> skip fi;
  functions[m]-- }
inline become_stray() { if :: AT_WORK && taker[h] == x + 1 -> taker[h] = STRAY :: else -> skip fi; ghosts--; g_pc = pc; g_m = h; g_a = a; g_v = v }
inline note_effect(m) { note_processed(m); functions[m]-- }
inline next() { v = 0; a = 0; k = 0; p = 0; pc = X_NEXT;
#if N == 1
  urgent = _pid     /* none of one is parked: nobody's step makes a difference to this one */
#endif
}
inline refused() { v = 0; a = 0; k = 0; p = 0; pc = X_FENCE }

proctype RetryMachine(byte x) provided (MAY_MOVE) {
  do
  /* stopped, failed, timed out; its function dies with it, or goes on */
  :: d_step { /* @world.crash execution */ pc != 0 && crash > 0 && !asleep[x] -> crash--; x_end() }
  :: d_step { /* @world.ghost stopped */ ghosts > 0 && g_pc == 0 && (pc == X_CLAIM || AT_WORK) && !asleep[x] -> become_stray(); pc = X_CLAIM; x_end() }
  /* the state's timeout; or Lambda's own trouble, and Step Functions calls once more */
  :: d_step { /* @world.ghost timeout */ ghosts > 0 && g_pc == 0 && (pc == X_CLAIM || AT_WORK) && !asleep[x] -> become_stray(); v = 0; pc = X_GUARD }
  :: d_step { /* @world.ghost twice */ ghosts > 0 && g_pc == 0 && (pc == X_CLAIM || AT_WORK) && !asleep[x] -> become_stray(); pc = X_CLAIM }
  /* stopped, and redriven later (never: a crash): ProcessMessage calls its function anew */
  :: d_step { /* @world.zombie stopped */ pc != 0 && zombies > 0 && !asleep[x] -> zombies--; asleep[x] = 1; if :: AT_WORK -> f_end(); pc = X_CLAIM :: else -> skip fi }
  :: d_step { /* @world.zombie back */ pc != 0 && asleep[x] -> asleep[x] = 0 }
  /* InspectMessage, ValidateMessage */
  :: d_step { /* @retry.inspect */ pc == X_INSPECT && !asleep[x] ->
      if :: status[h] == PROCESSED || status[h] == DISCARDED -> next()
         :: CONT && (status[h] == DEAD || status[h] == QUARANTINED) -> next()
         :: status[h] == RETRYING && (final[h] || attempts[h] >= MAXATT) -> v = VER(h); a = total[h]; k = copies[h]; pc = X_DEAD_LETTER
         :: status[h] == RETRYING && !(final[h] || attempts[h] >= MAXATT) -> a = total[h]; pc = X_GUARD
         :: (!CONT && (status[h] == DEAD || status[h] == QUARANTINED)) || status[h] == PROCESSING || status[h] == QUEUED || status[h] == PARKED || status[h] == REDRIVEN -> x_end()
      fi }
  :: d_step { /* @retry.guard */ pc == X_GUARD && !asleep[x] ->
      if :: MAY_COUNT -> attempts[h]++; total[h]++; a = total[h]; pc = X_CLAIM :: else -> refused() fi }
  :: d_step { /* @retry.guard lost */ pc == X_GUARD && !asleep[x] && lost > 0 && MAY_COUNT -> lost--; attempts[h]++; total[h]++ }
  /* WaitBackoff, and ProcessMessage's function */
  :: d_step { /* @retry.claim */ pc == X_CLAIM && !asleep[x] ->
      if :: MAY_TRY(h, a) -> v = VER(h); take_lease(h, x + 1); functions[h]++; pc = X_PROCESS
         :: else -> refused() fi }                                                   /* Superseded */
  :: d_step { /* @retry.claim lost */ pc == X_CLAIM && !asleep[x] && lost > 0 && MAY_TRY(h, a) -> lost--; take_lease(h, x + 1) }                       /* the same try may claim again */
  :: d_step { /* @retry.process */ pc == X_PROCESS && !asleep[x] -> have_effect(h, v); pc = X_PROCESSED }
  :: d_step { /* @retry.failed_again */ pc == X_PROCESS && !asleep[x] && fails > 0 && !effect[h] -> fails--; v = 0;
      if :: status[h] == RETRYING && total[h] == a && taker[h] == x + 1 && attempts[h] >= MAXATT -> note_failed(h, a, 0, x + 1); a = 0; pc = X_INSPECT     /* OutOfAttempts */
         :: else -> note_failed(h, a, 0, x + 1); pc = X_GUARD fi }
  :: d_step { /* @retry.failed_again invalid */ pc == X_PROCESS && !asleep[x] && INVALID && fails > 0 && !effect[h] -> fails--; note_failed(h, a, 1, x + 1); a = 0; v = 0; pc = X_INSPECT }
  :: d_step { /* @retry.processed */ pc == X_PROCESSED && !asleep[x] -> note_effect(h); next(); promises() }
  :: d_step { /* @world.crash function */ AT_WORK && !asleep[x] && crash > 0 -> crash--; f_end(); v = 0; pc = X_GUARD }
  :: d_step { /* @retry.next */ pc == X_NEXT && !asleep[x] -> urgent = 0; p = parked[1]; pc = (n_parked > 0 -> X_PROMOTE : X_RELEASE) }
  :: d_step { /* @retry.promote */ pc == X_PROMOTE && !asleep[x] ->
      in_parked(p);
      if :: MINE && zb && status[p] == PARKED -> promote(); a = total[p]; h = p; p = 0; pc = X_CLAIM
         :: else -> pc = X_DROP fi; zb = 0; promises() }
  :: d_step { /* @retry.promote lost */ pc == X_PROMOTE && !asleep[x] && lost > 0 && MINE && status[p] == PARKED -> in_parked(p); if :: zb -> lost--; promote() :: else -> skip fi; zb = 0; promises() }
  :: d_step { /* @retry.drop */ pc == X_DROP && !asleep[x] ->
      in_parked(p);
      if :: MINE && zb && status[p] != PARKED -> waiting--; del_parked(p); next()
         :: else -> pc = X_FENCE fi; zb = 0; promises() }
  :: d_step { /* @retry.release */ pc == X_RELEASE && !asleep[x] ->
      if :: MINE && DRAINED -> no_fence(); x_end()
         :: else -> pc = X_FENCE fi; promises() }
  :: d_step { /* @retry.release lost */ pc == X_RELEASE && !asleep[x] && lost > 0 && MINE && DRAINED -> lost--; no_fence(); promises() }
  /* InspectFence, StillOurs */
  :: d_step { /* @retry.still_ours */ pc == X_FENCE && !asleep[x] ->
      if :: p != 0 && holder == p && generation == g && execution == running[x] -> h = p; p = 0; pc = X_INSPECT
         :: !(p != 0 && holder == p && generation == g && execution == running[x]) && !(MINE) -> x_end()
         :: else -> p = 0; pc = X_INSPECT fi }
  /* DeadLetter, under a deduplication id of its own: a lost answer sends twice */
  :: d_step { /* @retry.dead_letter */ pc == X_DEAD_LETTER && !asleep[x] -> enq_dlq(h, v); pc = X_MARK }
  :: d_step { /* @retry.dead_letter lost */ pc == X_DEAD_LETTER && !asleep[x] && lost > 0 -> lost--; enq_dlq(h, v) }
  /* MarkDead, HoldOrContinue */
  :: d_step { /* @retry.mark_dead */ pc == X_MARK && !asleep[x] ->
      if :: MAY_MARK -> status[h] = DEAD; attempts[h] = 0; final[h] = 0; sqs_id[h] = 0; died[h] = CONT; if :: CONT -> next() :: else -> x_end() fi
         :: else -> refused() fi; promises() }
  :: d_step { /* @retry.mark_dead lost */ pc == X_MARK && !asleep[x] && lost > 0 && MAY_MARK -> lost--; status[h] = DEAD; attempts[h] = 0; final[h] = 0; sqs_id[h] = 0; died[h] = CONT; promises() }
  od
}

/* A function whose execution no longer waits for it; it lives no longer than its lease */
#undef pc
#undef h
#undef g
#undef p
#undef a
#undef k
#undef v
proctype StrayFunction() provided (MAY_MOVE) {
  do
  :: d_step { /* @retry.claim stray */ g_pc == X_CLAIM -> if :: MAY_TRY(g_m, g_a) -> g_v = VER(g_m); take_lease(g_m, STRAY); functions[g_m]++; g_pc = X_PROCESS :: else -> g_pc = 0; g_m = 0; g_a = 0; g_v = 0 fi }
  :: d_step { /* @retry.process stray */ g_pc == X_PROCESS -> have_effect(g_m, g_v); g_a = 0; g_v = 0; g_pc = X_PROCESSED }
  :: d_step { /* @retry.failed_again stray */ g_pc == X_PROCESS && fails > 0 && !effect[g_m] -> fails--; note_failed(g_m, g_a, 0, STRAY); g_pc = 0; g_m = 0; g_a = 0; g_v = 0 }
  :: d_step { /* @retry.processed stray */ g_pc == X_PROCESSED -> note_effect(g_m); g_pc = 0; g_m = 0; g_a = 0; g_v = 0; promises() }
  :: d_step { /* @world.crash stray */ g_pc != 0 -> if :: g_pc != X_CLAIM -> functions[g_m]-- :: else -> skip fi; g_pc = 0; g_m = 0; g_a = 0; g_v = 0 }
  od
}
