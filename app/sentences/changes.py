"""What the detector says: what changed, how far, since when, how far it is, and what can be done."""

CHANGES: dict[str, tuple[str, str]] = {
    "stat.detector_evidence": ("evidence of a change", "變化的證據"),
    "stat.inputs_change": ("change of the inputs", "輸入資料的變化"),
    "stat.unseen_values": ("values never seen before", "未曾見過的值"),
    "stat.latency_change": ("change of the latency", "延遲的變化"),
    "stat.error_rise": ("rise of the error rate", "錯誤率上升"),
    "stat.traffic_change": ("change of the traffic", "流量的變化"),
    "stat.quality_change": ("change of the prediction quality", "預測品質的變化"),
    # a headline: what changed, without figures; they stand beside it
    "change.location_up": ("{column} is higher than usual", "{column} 比平常高"),
    "change.location_down": ("{column} is lower than usual", "{column} 比平常低"),
    "change.scale_up": ("{column} varies more than usual", "{column} 比平常分散"),
    "change.scale_down": ("{column} varies less than usual", "{column} 比平常集中"),
    "change.skewness_up": (
        "{column} leans more to high values than usual",
        "{column} 比平常偏向高值",
    ),
    "change.skewness_down": (
        "{column} leans more to low values than usual",
        "{column} 比平常偏向低值",
    ),
    "change.kurtosis_up": (
        "{column} has more extreme values than usual",
        "{column} 的極端值比平常多",
    ),
    "change.kurtosis_down": (
        "{column} has fewer extreme values than usual",
        "{column} 的極端值比平常少",
    ),
    "change.category_up": (
        "{column}: a category is more frequent than usual",
        "{column} 有類別比平常多",
    ),
    "change.category_down": (
        "{column}: a category is rarer than usual",
        "{column} 有類別比平常少",
    ),
    "change.missing_up": (
        "{column} is missing more often than usual",
        "{column} 比平常更常缺值",
    ),
    "change.missing_down": (
        "{column} is missing less often than usual",
        "{column} 比平常更少缺值",
    ),
    "change.unseen": (
        "{column} has values never seen before",
        "{column} 出現未曾見過的值",
    ),
    "change.error_rate": ("more requests fail than usual", "失敗的請求比平常多"),
    "change.wrong_share": (
        "more predictions are wrong than usual",
        "錯誤的預測比平常多",
    ),
    "change.traffic_up": ("more events come than usual", "事件比平常多"),
    "change.traffic_down": ("fewer events come than usual", "事件比平常少"),
    "change.silence": ("no events come any more", "已經沒有事件進來"),
    "change.joint": ("all columns moved a little together", "所有欄位一起有小幅變動"),
    "change.unknown": ("{column} changed", "{column} 有變化"),
    "change.latency": ("the latency", "延遲"),
    "change.prediction": ("the prediction", "預測值"),
    "change.error": ("the size of the error", "誤差大小"),
    "change.together": ("how the features move together", "特徵之間的關聯"),
    "change.and_others": (
        "{first}; {n} more columns changed with it",
        "{first}；另有 {n} 個欄位同時變化",
    ),
    "change.and_other": ("{first}; {name} changed with it", "{first}；{name} 同時變化"),
    "change.over": ("{what} is over", "{what}已結束"),
    # one thing that moved, with figures
    "moved.location": ("level {size}", "水準 {size}"),
    "moved.scale": ("spread {size}", "離散程度 {size}"),
    "moved.skewness": ("skewness {size}", "偏度 {size}"),
    "moved.kurtosis": ("tails {size}", "尾部 {size}"),
    "moved.category": ("category share {size}", "類別占比 {size}"),
    "moved.missing": ("missing share {size}", "缺值比例 {size}"),
    "moved.unseen": ("never seen {size}", "未曾見過 {size}"),
    "moved.error_rate": ("failed {size}", "失敗 {size}"),
    "moved.wrong_share": ("wrong {size}", "錯誤 {size}"),
    "moved.traffic": ("{size} of the usual rows", "為平常的 {size}"),
    "moved.interval": (
        "{said} (95 % {low} to {high})",
        "{said}（95 % {low} 至 {high}）",
    ),
    "moved.more": ("and {n} more", "另外 {n} 項"),
    "moved.facts": ("since {at} · open for {age}", "自 {at} · 已持續 {age}"),
    "moved.facts_done": (
        "began {at} · over after {age}",
        "始於 {at} · 持續 {age} 後結束",
    ),
    "moved.usual": ("usually {value}", "平常 {value}"),
    "moved.number": ("{statistic} {value}", "{statistic} {value}"),
    # how far the detector is
    "detector.learning": (
        "the detector still learns what is usual",
        "偵測器仍在學習平常的樣子",
    ),
    "detector.warns": (
        "the detector sees the beginning of a change",
        "偵測器看到變化的徵兆",
    ),
    "detector.warns_of": ("{column} begins to move", "{column} 開始變動"),
    "detector.calm": ("the detector finds no change", "偵測器沒有發現變化"),
    # what is likely to be behind it
    "cause.missing": (
        "looks like a fault of the data, values are missing: repair its source before retraining",
        "看起來是資料異常（有缺值）：重新訓練前請先修復來源",
    ),
    "cause.constant": (
        "looks like a fault of the data, only one value comes any more: repair its source before retraining",
        "看起來是資料異常（只剩單一值）：重新訓練前請先修復來源",
    ),
    "cause.zone": (
        "the usual course of the day comes some hours early or late, like a clock of another time zone: check the source before retraining",
        "一天的起伏提早或延後了數小時，看起來是時鐘使用了其他時區：重新訓練前請先檢查來源",
    ),
    "cause.unit": (
        "looks like another unit or scale: check the source before retraining",
        "看起來是單位或尺度改變：重新訓練前請先檢查來源",
    ),
    "cause.renamed": (
        "a category seems to have another name: check the source before retraining",
        "似乎有類別改了名稱：重新訓練前請先檢查來源",
    ),
    "cause.mix": (
        "the mix of the traffic seems to have changed",
        "流量的組成似乎改變了",
    ),
    "cause.upstream": (
        "several columns changed at the same time: they are likely to have one source",
        "多個欄位同時改變：很可能來自同一個來源",
    ),
    "cause.relation": (
        "the features no longer move together as in the reference, though none of them changed alone",
        "特徵之間的關聯已與參考資料不同，但各特徵本身並未改變",
    ),
    "cause.segment": ("it changed in one segment alone", "只有一個區隔發生變化"),
    "cause.season": (
        "a year ago it was like that, too: it looks like the season",
        "一年前也是如此：看起來是季節因素",
    ),
    "cause.behind": ("{cause}: {segment}", "{cause}：{segment}"),
    "cause.of": ("{columns}: {cause}", "關於 {columns}：{cause}"),
    # the card on the drift page
    "detector.title": ("Detector", "偵測器"),
    "detector.caption": (
        "evidence of a change, as a share of what calls somebody",
        "變化的證據，以通知門檻的百分比表示",
    ),
    "detector.off": ("Switched off", "已關閉"),
    "detector.off_why": (
        "The detector of this model is off; **enabled** in its section of the configuration switches it on.",
        "此模型的偵測器已關閉；將設定檔中該模型區段的 **enabled** 設為 true 即可開啟。",
    ),
    "detector.no_events": (
        "It begins to learn with the first event.",
        "收到第一筆事件後開始學習。",
    ),
    "detector.until": (
        "It learns what is usual until {at}: that takes {days} days of traffic. Until then it calls nobody.",
        "正在學習平常的樣子，直到 {at}：需要 {days} 天的流量。在此之前不會通知任何人。",
    ),
    "detector.too_thin": (
        "It has too few rows to know what is usual, and tries again at the end of each day. Until then it calls nobody.",
        "資料太少，還不知道平常的樣子；每天結束時會再試一次。在此之前不會通知任何人。",
    ),
    "detector.open_n": ("Open changes: {n}", "未結變化：{n}"),
    "detector.open_why": (
        "It calls nobody again for these columns until they have been calm for a day.",
        "這些欄位在平靜一天之前不會再次通知。",
    ),
    "detector.warn": (
        "Something begins to move, not enough to call anybody: {share} of the evidence that would.",
        "開始有變動，但還不到通知的程度：證據為通知門檻的 {share}。",
    ),
    "detector.watching": ("Watching", "監看中"),
    "detector.quiet": (
        "No change: {share} of the evidence that would call somebody.",
        "沒有變化：證據為通知門檻的 {share}。",
    ),
    "detector.lanes_learning": ("Still learning: {lanes}.", "仍在學習：{lanes}。"),
    "detector.trending": (
        "The reference itself drifts in {columns}: there a change has to be larger to be found.",
        "參考期本身在 {columns} 就有漂移，因此變化要更大才會被發現。",
    ),
    "detector.thin": (
        "Traffic is thin, so it judges windows of up to {hours} hours.",
        "流量稀少，因此以最長 {hours} 小時的時段判斷。",
    ),
    "detector.other_weekday": (
        "{day} went like a {weekday}. If it was a holiday, **special_days** or **country** in the model's section make it known.",
        "{day} 的表現像{weekday}。若當天是假日，請在該模型的設定區段以 **special_days** 或 **country** 註明。",
    ),
    "weekday.0": ("Monday", "星期一"),
    "weekday.1": ("Tuesday", "星期二"),
    "weekday.2": ("Wednesday", "星期三"),
    "weekday.3": ("Thursday", "星期四"),
    "weekday.4": ("Friday", "星期五"),
    "weekday.5": ("Saturday", "星期六"),
    "weekday.6": ("Sunday", "星期日"),
    "detector.accepted": (
        "Last accepted as normal at {at} by {by}.",
        "上次由 {by} 於 {at} 接受為常態。",
    ),
    "detector.since": ("since {at}", "自 {at}"),
    "detector.revised": (
        "The list of columns is revised until {at}.",
        "欄位清單會持續修正至 {at}。",
    ),
    "detector.accept": ("Accept as normal", "接受為常態"),
    "detector.accept_what": (
        "What is open ends, and the detector learns anew what is usual, from the time when the newest of these changes began. "
        "That takes a week of such traffic; until then those lanes are not watched. This cannot be undone.",
        "未結的變化會結束，偵測器會從其中最新的變化開始之時重新學習平常的樣子。這需要一週的流量，期間不監看這些項目。此操作無法復原。",
    ),
    "detector.accept_yes": ("Accept", "接受"),
    "detector.accept_done": (
        "Accepted as {name}. The alerts end with the next evaluation, within a few minutes.",
        "已以 {name} 接受。警示會在下次評估時結束，約需幾分鐘。",
    ),
    "detector.key": (
        "The key of this dashboard may not accept changes: that takes a key with the scope admin.",
        "此儀表板的金鑰不能接受變化：需要具備 admin 權限的金鑰。",
    ),
    "detector.no_evidence": (
        "Nothing in this time range: no hour was judged, or none had any evidence.",
        "此時間範圍內沒有資料：沒有已判斷的時段，或都沒有任何證據。",
    ),
    "detector.page_level": ("calls somebody", "通知門檻"),
    "detector.detectable": (
        "Within a day the detector would find a lasting change of {name} from this size on, half of the time: {sizes}.",
        "{name} 若持續變化達到以下幅度，偵測器約有一半的機會在一天內發現：{sizes}。",
    ),
    "alt.evidence": (
        "Evidence of a change over time, as a share of what calls somebody; highest {share}",
        "變化證據的走勢，以通知門檻的百分比表示；最高 {share}",
    ),
    "lane.inputs": ("inputs", "輸入"),
    "lane.segments": ("segments", "區隔"),
    "lane.quality": ("quality", "品質"),
    "lane.latency": ("latency", "延遲"),
    "lane.errors": ("errors", "錯誤"),
    "lane.traffic": ("traffic", "流量"),
    "lane.unseen": ("new values", "新值"),
}
