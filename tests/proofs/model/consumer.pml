/* The consumer: workflows/consume.py, claims.py, fence.py. Each record of a batch in turn; of what comes a second time, first the fence. */
#define W_IDLE 0
#define W_HELD 1
#define W_HOLDS 2
#define W_RAISE 3
#define W_CLAIM 4
#define W_MOVED 5
#define W_QUARANTINE 6
#define W_PARK 7
#define W_ASK_UNFENCED 8
#define W_PROCESS 9
#define W_PROCESSED 10
#define W_SETTLE 11
#define W_RESUME 12
#define W_START 13
#define W_RETRYING 14
#define W_START_NEW 15
#define W_DEAD_LETTER 16
#define W_DEAD 17
#define W_ASK 18
#define W_START_AGAIN 19
#define W_ASK_RETRYING 20
#define W_ASK_KEPT 21
#define W_COUNT 22
#define W_ACK 23

#define b0 wb0[w]
#define b1 wb1[w]
#define MESSAGE ((1-i)*m0 + i*m1)
#define COPY ((1-i)*b0 + i*b1)

/* What ends a claim names the try that it is: nobody claimed the message again since. */
#define CLAIMED(m) (status[m] == PROCESSING && total[m] == a)
#define MAY_FENCE(m) ((our && holder == m && generation == sg) || (!our && holder == 0))    /* fence._raise */
#define SAME_COPY(m) (sqs_id[m] == COPY)
#ifdef MUTANT_COPY
#define COUNT_COPY(m) skip
#else
#define COUNT_COPY(m) copies[m]++
#endif
#ifdef MUTANT_RELEASE
#define DRAINED 1
#else
#define DRAINED (waiting == 0)
#endif
inline no_record() { working[w] = 0; r = 0; v = 0; a = 0; our = 0 }
inline to_acknowledge() { pendw = 0; no_record(); sh = 0; sg = 0; sa = 0; m0 = 0; m1 = 0; i = 0; ph = 0; pc = W_ACK; urgent = _pid }
inline to_ask() { no_record(); sh = 0; sg = 0; sa = 0; pc = W_ASK; if :: i + 1 == n -> urgent = _pid :: else -> skip fi }   /* behind the last record nobody reads the answer */
inline dispatch() { /* the next record: phase 0 is Batch.__init__, phase 1 Batch.consume */
  no_record();
  if :: ph == 0 ->
        do :: i < n && (receives[COPY] < 2 || sh == MESSAGE) -> i++
           :: else -> break od;
        if :: i >= n -> ph = 1; i = 0 :: else -> skip fi
     :: else -> skip fi;
  if :: ph == 0 -> pc = (sh == 0 -> W_HOLDS : W_CLAIM)
     :: ph == 1 && i < n -> pc = W_CLAIM
     :: else -> to_acknowledge() fi
}
inline rec_ok() { if :: ph == 1 -> ok = ok | (1 << i) :: else -> skip fi; i++; dispatch() }
inline rec_busy() { if :: ph == 0 -> i++; dispatch() :: else -> to_acknowledge() fi }
inline rec_fail() { if :: ph == 0 -> ok = 0 :: else -> skip fi; to_acknowledge() }
inline give_back(c) { if :: c != 0 && flight[c] == w + 1 -> flight[c] = 0; w_flight-- :: else -> skip fi }
#if NW > 1
#define ids_of_old()
#else
inline ids_of_old() { for (z : 1 .. N) { d_ids[z] = (d_ids[z] >> redrives[z]) << redrives[z] }; z = 0 }     /* nobody sends under these any more */
#endif
inline w_end() { pendw = 0; urgent = 0; give_back(b0); give_back(b1);
  working[w] = 0; n = 0; i = 0; ph = 0; ok = 0; sh = 0; sg = 0; sa = 0; b0 = 0; b1 = 0; m0 = 0; m1 = 0; r = 0; v = 0; a = 0; our = 0; pc = W_IDLE; ids_of_old() }
/* who starts an execution again has read the fence once more */
#ifdef MUTANT_NO_ASK
inline snapshot() { sh = holder; sg = generation; sa = execution }
#else
inline snapshot() { sh = holder; sg = generation }
#endif
inline take(c) { receives[c]++; flight[c] = w + 1; w_flight++;
#if !OVERLAP
  for (z : 1 .. N) { if :: status[z] == PROCESSING -> leased[z] = 0 :: else -> skip fi }; z = 0;    /* CLAIM_LEASE_SECONDS 32 < VisibilityTimeout 180 */
#endif
}
#define CLAIMABLE(m) ((status[m] == QUEUED || status[m] == REDRIVEN || (status[m] == PROCESSING && (sqs_id[m] == 0 || sqs_id[m] == COPY))) && !leased[m])
#define WAS_MOVED(m) (status[m] == DEAD || (status[m] == PROCESSING && !leased[m] && sqs_id[m] != COPY && sqs_id[m] != 0))
inline take_claim(m) { status[m] = PROCESSING; leased[m] = 1; attempts[m]++; total[m]++; sqs_id[m] = COPY; trouble[m] = 0; redriven_by[m] = 0;
  if :: mark[m] == BYHAND -> mark[m] = 0 :: else -> skip fi }

proctype Consumer(byte w) provided (MAY_MOVE) {
  byte pc, n, i, ok, sh, sg, sa, m0, m1, r, a; bit ph, our, v;   /* s…: the fence as read; r, a, v: redrives, attempts_total and body as claimed or read */
  do
  /* SQS: none of the group while one is in flight; in order */
  :: d_step { /* @consumer.receive */ pc == W_IDLE && w_flight == 0 && n_work > 0 && receives[work[0]] < MAXRC ->
      n = 1; b0 = work[0]; m0 = copy_of[b0]; take(b0); pc = W_HELD }
  :: d_step { /* @consumer.receive two */ pc == W_IDLE && BATCH > 1 && w_flight == 0 && n_work > 1 && receives[work[0]] < MAXRC && receives[work[1]] < MAXRC ->
      n = 2; b0 = work[0]; m0 = copy_of[b0]; take(b0); b1 = work[1]; m1 = copy_of[b1]; take(b1); pc = W_HELD }
  :: d_step { /* @world.crash worker */ pc != W_IDLE && crash > 0 -> crash--; w_end() }
  :: d_step { /* @world.crash call */ pc > W_CLAIM && pc < W_ACK && crash > 0 && ok != 0 -> crash--; rec_fail() }   /* a call raises, done or not: this record and what follows stays */
  :: d_step { /* @consumer.find */ pc == W_HELD -> snapshot(); ph = 0; i = 0; dispatch() }
  :: d_step { /* @consumer.holds_group */ pc == W_HOLDS ->
      z = status[MESSAGE];
      if :: z == QUEUED || z == REDRIVEN || z == PROCESSING || z == DEAD || (z == QUARANTINED && !CONT) -> pc = W_RAISE
         :: else -> i++; dispatch() fi; z = 0 }
  :: d_step { /* @consumer.raise_ahead */ pc == W_RAISE ->
      if :: holder == 0 -> holder = MESSAGE; generation = 0; execution = 0; waiting = 0; sh = MESSAGE; sg = 0; sa = 0; i++; dispatch()
         :: else -> rec_fail() fi }
  :: d_step { /* @consumer.claim */ pc == W_CLAIM ->
      z = MESSAGE; our = (sh == z);
      if :: CLAIMABLE(z) -> take_claim(z); working[w] = z; r = redrives[z]; v = VER(z); a = total[z];
            pc = ((sh != 0 && !our) -> W_PARK : W_PROCESS)
         :: else ->
            if :: WAS_MOVED(z) -> r = redrives[z]; v = VER(z); pc = W_MOVED
               :: (status[z] == PROCESSED || status[z] == DISCARDED) && our -> r = redrives[z]; pc = W_SETTLE
               :: (status[z] == PROCESSED || status[z] == DISCARDED) && !our -> rec_ok()
               :: status[z] == RETRYING && !SAME_COPY(z) -> r = redrives[z]; pc = W_COUNT   /* it may be the machine's dead letter */
               :: status[z] == RETRYING && SAME_COPY(z) -> r = redrives[z]; pc = W_ASK_RETRYING
               :: status[z] == PARKED || status[z] == QUARANTINED -> pc = W_ASK_KEPT
               :: (status[z] == PROCESSING && (leased[z] || sqs_id[z] == COPY || sqs_id[z] == 0)) || status[z] == REDRIVEN || status[z] == QUEUED -> rec_busy() fi
      fi; z = 0 }
  :: d_step { /* @consumer.claim lost */ pc == W_CLAIM && lost > 0 && CLAIMABLE(MESSAGE) -> lost--; z = MESSAGE; take_claim(z); z = 0 }   /* botocore asks again, and meets its own lease */
  :: d_step { /* @consumer.claim_moved */ pc == W_MOVED ->
      z = MESSAGE;
      if :: MOVED(z) && VER(z) == v && redrives[z] == r && redrives[z] < limit[z] ->
            status[z] = PROCESSING; leased[z] = 1; redrives[z]++; attempts[z] = 1; total[z]++; sqs_id[z] = COPY; trouble[z] = 0; redriven_by[z] = 0;
            working[w] = z; r = redrives[z]; a = total[z];
            pc = ((sh != 0 && !our) -> W_PARK : W_PROCESS)
         :: else ->
            if :: WAS_MOVED(z) && redrives[z] >= limit[z] -> v = VER(z); a = total[z]; pc = W_QUARANTINE
               :: else -> rec_busy() fi
      fi; z = 0; promises() }
  :: d_step { /* @consumer.quarantine */ pc == W_QUARANTINE ->
      z = MESSAGE;
      if :: MOVED(z) && VER(z) == v && total[z] == a && redrives[z] >= limit[z] -> status[z] = QUARANTINED; body[z] = 1; leased[z] = 0; sqs_id[z] = 0; attempts[z] = 0; died[z] = CONT; z = 0;
            if :: our && CONT -> pc = W_SETTLE :: else -> rec_ok() fi
         :: else -> z = 0; rec_busy() fi; promises() }
  :: d_step { /* @consumer.park */ pc == W_PARK ->
      z = MESSAGE;
#ifdef MUTANT_PARK
      if :: CLAIMED(z) -> if :: holder == 0 -> waiting = 0 :: else -> waiting++ fi;
#else
      if :: holder != 0 && CLAIMED(z) -> waiting++;
#endif
            n_parked++; parked[n_parked] = z; status[z] = PARKED; attempts[z] = 0; total[z]--; leased[z] = 0; z = 0; rec_ok()
         :: holder != 0 && !CLAIMED(z) -> z = 0; rec_fail()
#ifdef MUTANT_PARK
         :: holder == 0 && !CLAIMED(z) -> z = 0; rec_fail()
#else
         :: holder == 0 && CLAIMED(z) -> z = 0; pc = W_ASK_UNFENCED
         :: holder == 0 && !CLAIMED(z) -> z = 0; rec_fail()
#endif
      fi; promises() }
  :: d_step { /* @consumer.find unfenced */ pc == W_ASK_UNFENCED -> snapshot(); our = 0; pc = W_PROCESS }
  :: d_step { /* @consumer.process */ pc == W_PROCESS -> have_effect(MESSAGE, v); v = 0; a = 0; if :: our -> skip :: else -> r = 0 fi; pc = W_PROCESSED }
  :: d_step { /* @consumer.process fails */ pc == W_PROCESS && fails > 0 && !effect[MESSAGE] -> fails--; v = 0; pc = W_RETRYING }
  :: d_step { /* @consumer.process invalid */ pc == W_PROCESS && INVALID && fails > 0 && !effect[MESSAGE] -> fails--; pc = W_DEAD_LETTER }
  :: d_step { /* @consumer.processed */ pc == W_PROCESSED -> note_processed(MESSAGE); if :: our -> pc = W_SETTLE :: else -> rec_ok() fi; promises() }
  :: d_step { /* @consumer.release */ pc == W_SETTLE ->
      if :: holder == MESSAGE && generation == sg && DRAINED -> no_fence(); to_ask()
         :: else -> pc = W_RESUME fi; promises() }
  :: d_step { /* @consumer.release lost */ pc == W_SETTLE && lost > 0 && holder == MESSAGE && generation == sg && waiting == 0 -> lost--; no_fence(); pc = W_RESUME }
  :: d_step { /* @consumer.resume */ pc == W_RESUME ->
      if :: holder == MESSAGE && generation == sg -> if :: sg + 1 >= GM -> bound = 1 :: else -> generation = sg + 1; execution = ARN(MESSAGE, r, sg + 1); pendw = execution; pc = W_START fi
         :: else -> to_ask() fi }
  :: d_step { /* @consumer.start resumed */ pc == W_START -> start_execution(ARN(MESSAGE, r, sg + 1)); pendw = 0; to_ask() }
  :: d_step { /* @consumer.retrying */ pc == W_RETRYING ->
      z = MESSAGE;
      if :: CLAIMED(z) && MAY_FENCE(z) ->
            generation = (our*sg) + 1; holder = z;
            if :: generation >= GM -> bound = 1 :: else -> skip fi;
            execution = ARN(z, r, generation); pendw = execution; status[z] = RETRYING; body[z] = 1; leased[z] = 0; final[z] = 0;
            z = 0; working[w] = 0; a = 0; pc = W_START_NEW
         :: else -> z = 0; rec_fail() fi; promises() }
  :: d_step { /* @consumer.start */ pc == W_START_NEW -> start_execution(ARN(MESSAGE, r, (our*sg) + 1)); told(ARN(MESSAGE, r, (our*sg) + 1)); pendw = 0; to_ask() }
  :: d_step { /* @consumer.start untold */ pc == W_START_NEW -> start_execution(ARN(MESSAGE, r, (our*sg) + 1)); pendw = 0; to_ask() }
  :: d_step { /* @consumer.dead_letter */ pc == W_DEAD_LETTER -> enq_dlq(MESSAGE, v); d_ids[MESSAGE] = d_ids[MESSAGE] | (1 << r); pc = W_DEAD }
  :: d_step { /* @consumer.dead_letter taken */ pc == W_DEAD_LETTER && ((d_ids[MESSAGE] >> r) & 1) -> pc = W_DEAD }          /* within five minutes: taken, not delivered */
  :: d_step { /* @consumer.dead_letter lost */ pc == W_DEAD_LETTER && lost > 0 && !((d_ids[MESSAGE] >> r) & 1) -> lost--; enq_dlq(MESSAGE, v); d_ids[MESSAGE] = d_ids[MESSAGE] | (1 << r) }
  :: d_step { /* @consumer.dead */ pc == W_DEAD ->
      z = MESSAGE;
      if :: CLAIMED(z) && (CONT || MAY_FENCE(z)) ->
            if :: !CONT && !our -> holder = z; generation = 0; execution = 0; waiting = 0 :: else -> skip fi;
            status[z] = DEAD; body[z] = 1; leased[z] = 0; sqs_id[z] = 0; attempts[z] = 0; died[z] = CONT; working[w] = 0;
            v = 0; a = 0; if :: CONT && our -> pc = W_SETTLE :: else -> to_ask() fi
         :: else -> rec_fail()
      fi; z = 0; promises() }
  /* the row shows that its group has a fence, maybe a newer one than was read */
#ifdef MUTANT_NO_ASK
#define ASK_ANEW skip
#define FORGET skip
#else
#define ASK_ANEW snapshot(); sa = execution; our = (sh == MESSAGE)
#define FORGET sa = 0
#endif
  :: d_step { /* @consumer.find retrying */ pc == W_ASK_RETRYING -> ASK_ANEW; if :: our && sa == ARN(MESSAGE, r, sg) -> r = 0; pc = W_START_AGAIN :: else -> FORGET; rec_ok() fi }
  :: d_step { /* @consumer.copy_met */ pc == W_COUNT -> if :: status[MESSAGE] == RETRYING -> COUNT_COPY(MESSAGE); pc = W_ASK_RETRYING :: else -> rec_busy() fi }
  :: d_step { /* @consumer.find kept */ pc == W_ASK_KEPT -> ASK_ANEW; FORGET; rec_ok() }
  :: d_step { /* @consumer.start again */ pc == W_START_AGAIN -> start_execution(sa); sa = 0; rec_ok() }
  :: d_step { /* @consumer.find again */ pc == W_ASK -> urgent = 0; snapshot(); rec_ok() }
  /* the event source mapping deletes what was not reported as failed; a stale receipt deletes nothing */
  :: d_step { /* @consumer.acknowledge */ pc == W_ACK ->
      if :: (ok & 1) && flight[b0] == w + 1 -> del_work(b0); free_copy(b0); w_flight-- :: else -> skip fi;
      if :: (ok & 2) && flight[b1] == w + 1 -> del_work(b1); free_copy(b1); w_flight-- :: else -> skip fi;
      w_end(); promises() }
  od
}
#undef b0
#undef b1
